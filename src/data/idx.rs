//! IDX, the container of the MNIST family: a big-endian header, then bytes.

use std::path::Path;

use crate::data::records::contract_kind;
use crate::data::{InputContract, InputKind, Samples, file, labels};
use crate::diag::{Diag, Result};

/// Reads images (`[N, H, W]` or `[N, H, W, C]`) and labels (`[N]`).
pub(super) fn read(images: &Path, label_file: &Path, contract: &InputContract, names: usize) -> Result<Samples> {
    let (kind, dims, raw) = container(images)?;
    contract_kind(kind, contract).map_err(|d| Box::new(d.at(images.display())))?;
    let (count, shape) = match dims[..] {
        [n, h, w] => (n, [h, w, 1]),
        [n, h, w, c] => (n, [h, w, c]),
        _ => {
            return Diag::new("data/wrong-size", "IDX file does not hold images")
                .at(images.display())
                .expected("3 dimensions, or 4 with channels last", dims.len())
                .help("are `images` and `labels` swapped?")
                .err();
        }
    };
    if shape != contract.shape {
        return Diag::new("data/wrong-size", "images do not have the input's size")
            .at(images.display())
            .expected(format!("{:?} (height, width, channels)", contract.shape), format!("{shape:?}"))
            .err();
    }
    let (_, label_dims, label_bytes) = container(label_file)?;
    if label_dims.len() != 1 {
        return Diag::new("data/wrong-size", "IDX file does not hold labels")
            .at(label_file.display())
            .expected("1 dimension", label_dims.len())
            .help("are `images` and `labels` swapped?")
            .err();
    }
    if label_dims[0] != count {
        return Diag::new("data/count-mismatch", "the number of labels is not the number of images")
            .at(label_file.display())
            .expected(format!("{count} labels, as {} has images", images.display()), label_dims[0])
            .err();
    }
    let labels = labels::checked(label_bytes.into_iter().map(i128::from), names, "image")
        .map_err(|d| Box::new(d.at(label_file.display())))?;
    Ok(Samples { raw, labels, ..Samples::empty(contract) })
}

/// Element type, dimensions and data of one IDX file; the data is exactly as long as the dimensions say.
fn container(path: &Path) -> Result<(InputKind, Vec<usize>, Vec<u8>)> {
    let mut bytes = file::read(path)?;
    let place = path.display();
    let (kind, rank) = match bytes[..] {
        [0, 0, 0x08, rank, ..] => (InputKind::U8, usize::from(rank)),
        [0, 0, 0x09, rank, ..] => (InputKind::I8, usize::from(rank)),
        [0, 0, 0x0b..=0x0e, ..] => {
            return Diag::new("data/kind", "IDX file holds numbers wider than a byte")
                .at(place)
                .expected("unsigned (08) or signed bytes (09)", format!("type {:02x}", bytes[2]))
                .help("fratc takes the raw bytes that the device will get")
                .err();
        }
        _ => {
            return Diag::new("data/not-idx", "not an IDX file")
                .at(place)
                .expected("00 00 08 and the number of dimensions", format!("{:02x?}", &bytes[..bytes.len().min(4)]))
                .err();
        }
    };
    let start = 4 + 4 * rank;
    let Some(header) = bytes.get(4..start) else {
        return Diag::new("data/truncated", "IDX header is cut off")
            .at(place)
            .expected(format!("{start} bytes of header"), format!("{} bytes", bytes.len()))
            .err();
    };
    let dims: Vec<usize> =
        header.chunks_exact(4).map(|d| u32::from_be_bytes([d[0], d[1], d[2], d[3]]) as usize).collect();
    let total = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if rank == 0 || total != Some(bytes.len() - start) {
        return Diag::new("data/truncated", "IDX data is not as long as its header says")
            .at(format!("{place}, byte {start}"))
            .expected(
                total.map_or_else(|| format!("{dims:?} values"), |n| format!("{n} bytes ({dims:?})")),
                format!("{} bytes", bytes.len() - start),
            )
            .help("fetch the file again")
            .err();
    }
    if total == Some(0) {
        return Diag::new("data/empty", "IDX file holds no samples").at(place).err();
    }
    bytes.drain(..start);
    Ok((kind, dims, bytes))
}

//! The way to the device: bytes both ways, never waiting without a limit.
//!
//! A thread of its own reads and another one writes, so that a device that does neither holds up nobody.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::super::process;
use crate::diag::{Diag, Result};
use crate::emit::bare_metal;
use crate::target::Target;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// An open way to a device.
pub struct Port {
    /// What it is called in messages.
    pub name: String,
    incoming: Receiver<Vec<u8>>,
    outgoing: Sender<Vec<u8>>,
    child: Option<Running>,
}

/// What a wait for bytes gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Wait {
    /// These came.
    Bytes(Vec<u8>),
    /// Nothing came in time.
    Silence,
    /// The other side is gone.
    End,
}

/// A program that is killed at the latest when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        process::end(&mut self.0);
    }
}

impl Port {
    /// Bytes over `reader` and `writer`.
    pub fn over(name: &str, reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        let (to_us, incoming) = channel();
        let (outgoing, to_write) = channel::<Vec<u8>>();
        std::thread::spawn(move || read_all(reader, &to_us));
        std::thread::spawn(move || write_all(writer, &to_write));
        Self { name: name.into(), incoming, outgoing, child: None }
    }

    /// Opens what `port` names: `tcp:HOST:PORT`, `unix:PATH`, or a serial device at `baud`.
    ///
    /// # Errors
    /// `device/port`.
    pub fn open(port: &str, baud: u32) -> Result<Self> {
        let failed = |error: &std::io::Error| {
            Box::new(
                Diag::new("device/port", format!("cannot open the way to the device: {error}"))
                    .at(port)
                    .help("give a serial device (/dev/ttyACM0), tcp:HOST:PORT or unix:PATH"),
            )
        };
        if let Some(address) = port.strip_prefix("tcp:") {
            let stream = connect(address).map_err(|error| failed(&error))?;
            let reader = stream.try_clone().map_err(|error| failed(&error))?;
            return Ok(Self::over(port, reader, stream));
        }
        if let Some(path) = port.strip_prefix("unix:") {
            return Self::socket(port, Path::new(path)).map_err(|error| failed(&error));
        }
        set_serial(port, baud)?;
        let writer = std::fs::OpenOptions::new().read(true).write(true).open(port).map_err(|error| failed(&error))?;
        let reader = writer.try_clone().map_err(|error| failed(&error))?;
        Ok(Self::over(port, reader, writer))
    }

    #[cfg(unix)]
    fn socket(name: &str, path: &Path) -> std::io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        let reader = stream.try_clone()?;
        Ok(Self::over(name, reader, stream))
    }

    #[cfg(not(unix))]
    fn socket(_: &str, _: &Path) -> std::io::Result<Self> {
        Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this system has no such sockets"))
    }

    /// Starts the target's machine in QEMU with `elf`; its first UART is the way to it.
    ///
    /// # Errors
    /// `device/no-qemu`, `device/qemu`.
    pub fn qemu(target: &Target, elf: &Path) -> Result<Self> {
        let Some(words) = bare_metal::qemu_command(target) else {
            return Diag::new("device/no-qemu", format!("QEMU has no machine for {}", target.name)).err();
        };
        let mut command = Command::new(&words[0]);
        command.args(words[1..].iter().map(|word| if word == "null" { "stdio" } else { word }));
        command.arg("-kernel").arg(elf);
        Self::program(&format!("QEMU's {}", words[2]), &mut command)
    }

    /// Starts a program; its input and output are the way.
    ///
    /// # Errors
    /// `device/no-qemu` if there is no such program, `device/qemu` if it cannot be started.
    pub fn program(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match process::start(command) {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Diag::new("device/no-qemu", "qemu-system-arm is not installed")
                    .help("`apt-get install qemu-system-arm` (Debian, Ubuntu) or `brew install qemu` (macOS)")
                    .err();
            }
            Err(error) => return Diag::new("device/qemu", format!("cannot start {name}: {error}")).err(),
        };
        let pipes = (child.stdout.take(), child.stdin.take());
        let running = Running(child);
        let (Some(reader), Some(writer)) = pipes else {
            return Diag::new("device/qemu", format!("{name} has no input and output")).err();
        };
        Ok(Self { child: Some(running), ..Self::over(name, reader, writer) })
    }

    /// Process id of the program at the other end, if this started one.
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(|child| child.0.id())
    }

    /// Sends; whether it arrives only an answer tells.
    pub fn send(&self, bytes: Vec<u8>) {
        // Without a writer the reader has ended too, and says so.
        let _ = self.outgoing.send(bytes);
    }

    /// Waits for bytes, at most for `time`.
    pub fn wait(&self, time: Duration) -> Wait {
        match self.incoming.recv_timeout(time) {
            Ok(bytes) => Wait::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Wait::Silence,
            Err(RecvTimeoutError::Disconnected) => Wait::End,
        }
    }
}

fn read_all(mut reader: impl Read, to: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    // An error is the end, as it is for a cable that was pulled.
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        if to.send(buffer[..count].to_vec()).is_err() {
            return;
        }
    }
}

fn write_all(mut writer: impl Write, from: &Receiver<Vec<u8>>) {
    while let Ok(bytes) = from.recv() {
        if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
            return;
        }
    }
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no such address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Raw bytes at `baud`, through `stty`, which every Unix has.
fn set_serial(port: &str, baud: u32) -> Result<()> {
    let option = if cfg!(target_os = "macos") { "-f" } else { "-F" };
    let mut command = Command::new("stty");
    command.args([option, port, &baud.to_string(), "raw", "-echo", "min", "1", "time", "0"]);
    match process::run(&mut command, CONNECT, 1 << 16) {
        Ok(finished) if finished.status.success() => Ok(()),
        Ok(finished) => Diag::new("device/port", format!("cannot set up the serial port: {}", finished.tail(2)))
            .at(port)
            .help("give a serial device (/dev/ttyACM0), tcp:HOST:PORT or unix:PATH")
            .err(),
        Err(_) => Diag::new("device/port", "cannot set up the serial port: `stty` did not run")
            .at(port)
            .help("connect it to a socket with a program such as ser2net or socat, and give tcp:HOST:PORT")
            .err(),
    }
}

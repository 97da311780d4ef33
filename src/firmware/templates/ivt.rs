
use {fcb} as _;

/// What the boot ROM reads 4 KB behind the start of the flash.
#[repr(C)]
struct ImageVectorTable {
    header: u32,
    vectors: *const u32,
    reserved: u32,
    device_configuration: u32,
    boot_data: *const [u32; 3],
    this: *const ImageVectorTable,
    signature: u32,
    reserved_too: u32,
    data: [u32; 3],
}

// SAFETY: read by the boot ROM only, never written.
unsafe impl Sync for ImageVectorTable {}

extern "C" {
    static __vector_table: u32;
}

// SAFETY: memory.x places the section, and nothing else is in it.
#[link_section = ".ivt"]
#[used]
static IMAGE_VECTOR_TABLE: ImageVectorTable = ImageVectorTable {
    header: 0x4020_00d1,
    vectors: addr_of!(__vector_table),
    reserved: 0,
    device_configuration: 0,
    boot_data: addr_of!(IMAGE_VECTOR_TABLE.data),
    this: addr_of!(IMAGE_VECTOR_TABLE),
    signature: 0,
    reserved_too: 0,
    // Start of the image, its bytes, no plugin.
    data: [{start}, {bytes}, 0],
};

//! Gives the shared library its SONAME, keeps it loaded (worker threads outlive a dlclose), and keeps it small.

use std::path::Path;
use std::process::{Command, Stdio};

/// Functions whose machine code is the same are kept once: hundreds of KiB of generic code.
const FOLD: &str = "-Wl,--icf=all";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libs3dlio.so.0");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // Dependencies have C functions of their own; the library exports the header's only.
        println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
        if links_with(FOLD) == Some(true) {
            println!("cargo:rustc-cdylib-link-arg={FOLD}");
        }
    }
}

/// Whether the linker that this build uses knows a flag: lld and mold know more than GNU ld.
fn links_with(flag: &str) -> Option<bool> {
    let folder = std::env::var_os("OUT_DIR")?;
    let source = Path::new(&folder).join("probe.rs");
    std::fs::write(
        &source,
        "#![no_std]\n#[panic_handler]\nfn stop(_: &core::panic::PanicInfo) -> ! {\n    loop {}\n}\n",
    )
    .ok()?;
    let mut rustc = Command::new(std::env::var_os("RUSTC")?);
    rustc.args(["--crate-type=cdylib", "--edition=2024", "-Cpanic=abort"]).arg(format!("-Clink-arg={flag}"));
    rustc.arg("--target").arg(std::env::var_os("TARGET")?).arg("--out-dir").arg(&folder).arg(&source);
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    // Those of the user, which may name another linker.
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    Some(rustc.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?.success())
}

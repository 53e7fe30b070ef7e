//! Gives the shared library its SONAME and keeps it loaded: worker threads outlive a dlclose.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libs3dlio.so.0");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // Dependencies have C functions of their own; the library exports the header's only.
        println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    }
}

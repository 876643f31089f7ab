//! Finds out which release of rustls is built in: `postconf -T` says so.

use std::error::Error;

const LOCK: &str = "../Cargo.lock";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={LOCK}");
    let lock = std::fs::read_to_string(LOCK)?;
    let (_, package) = lock.split_once("\nname = \"rustls\"\nversion = \"").ok_or("no rustls")?;
    let (version, _) = package.split_once('"').ok_or("no version of rustls")?;
    println!("cargo:rustc-env=RUSTLS_VERSION={version}");
    Ok(())
}

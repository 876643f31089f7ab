//! Rules of the house that no compiler checks.

use std::path::Path;

use cargo_metadata::MetadataCommand;

/// Each folder uses only what stands to its left; `perf` and `tests` see all and are seen by nothing.
const ROOMS: [&str; 4] = ["maps", "engine", "delivery", "tools"];

/// The folder directly below the workspace root that a package lies in.
fn room(manifest: &Path, root: &Path) -> String {
    let below = manifest.strip_prefix(root).expect("a workspace member lies below the root");
    below.components().next().expect("a folder").as_os_str().to_string_lossy().into_owned()
}

#[test]
fn no_arrow_points_to_the_right() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let root = metadata.workspace_root.as_std_path();
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for package in &metadata.packages {
        let from = room(package.manifest_path.as_std_path(), root);
        for dependency in &package.dependencies {
            let Some(path) = &dependency.path else { continue };
            let to = room(&path.as_std_path().join("Cargo.toml"), root);
            arrows += 1;
            let place = |room: &str| ROOMS.iter().position(|&r| r == room);
            let allowed = match (place(&from), place(&to)) {
                (Some(from), Some(to)) => to <= from,
                // perf and tests may use every room; nothing may use them.
                (None, Some(_)) => true,
                (_, None) => from == to,
            };
            if !allowed {
                wrong.push(format!("{from}/{} uses {to}/{}", package.name, dependency.name));
            }
        }
    }
    assert!(arrows > 10, "the workspace was read");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_version_is_written_once_in_the_workspace_table() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata");
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        for line in manifest.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let own_version = line.contains("version = \"") || line.contains("path = \"");
            let dependency = !line.starts_with("version") && !line.starts_with("rust-version");
            if own_version && dependency && !line.starts_with("path = ") {
                wrong.push(format!("{}: {line}", package.manifest_path));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

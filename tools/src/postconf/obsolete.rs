//! Names that nobody uses, and names that Postfix is giving up.

use config::obsolete::advice;

use super::space::Space;
use super::warning;

/// Warns of main.cf where that is wanted, and of each service.
pub(crate) fn warn(space: &Space, of_main: bool) {
    let mut found_old = false;
    let mut one = |file: &str, name: &str, unused: Option<&str>| {
        let file = space.directory.join(file);
        let file = file.display();
        match (unused, advice(name)) {
            (Some(_), Some(advice)) => {
                found_old = true;
                warning(format_args!(
                    "{file}: support for parameter {name} has been removed; instead, {advice}"
                ));
            }
            (Some(value), None) => {
                warning(format_args!("{file}: unused parameter: {name}={value}"));
            }
            (None, Some(advice)) => {
                found_old = true;
                warning(format_args!(
                    "{file}: support for parameter \"{name}\" will be removed; instead, {advice}"
                ));
            }
            (None, None) => {}
        }
    };
    if of_main {
        let unused = space.unused_in_main();
        for name in space.defined() {
            one("main.cf", name, unused.get(name).copied());
        }
    }
    for service in &space.services {
        let unused = space.unused_in(service);
        for name in service.parameters.keys() {
            one("master.cf", name, unused.get(name.as_str()).copied());
        }
    }
    if found_old {
        warning("See https://www.postfix.org/DEPRECATION_README.html for details");
    }
}

//! The plugins of this repository, built.

use std::path::PathBuf;
use std::sync::OnceLock;

/// The component of the plugin in `plugins/<name>`. The first call builds what is missing or out of date, and parallel
/// test processes wait for the one that does.
///
/// # Panics
///
/// If the plugins cannot be built. A test that needs one must not pass without it; the message says what to run.
pub fn plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<xtask::plugins::Plugins> = OnceLock::new();
    let plugins = BUILT.get_or_init(|| {
        xtask::plugins::build().unwrap_or_else(|error| panic!("the plugins for the tests cannot be built: {error:#}"))
    });
    plugins.path(name).unwrap_or_else(|error| panic!("{error:#}"))
}

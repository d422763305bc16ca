//! Component files: read within bounds, and named.

use std::io::Read;
use std::path::Path;

use super::{AppError, AppResult};
use crate::config::units::format_size;
use crate::model::PluginName;
use crate::model::limits::COMPONENT_BYTES_MAX;

/// The bytes of a component file. Its size is looked at before anything is read.
pub(crate) async fn read_component(path: &Path) -> AppResult<Vec<u8>> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read(&path));
    reading.await.map_err(|error| AppError::unexpected("the file was not read", error))?
}

fn read(path: &Path) -> AppResult<Vec<u8>> {
    let shown = path.display();
    let cannot = |error: std::io::Error| {
        let what = format!("`{shown}` cannot be read");
        if error.kind() == std::io::ErrorKind::NotFound {
            AppError::NotFound {
                noun: "file",
                name: shown.to_string(),
                hint: Some(
                    "`cargo build --release --target wasm32-wasip2` puts it under target/wasm32-wasip2/release"
                        .to_owned(),
                ),
            }
        } else {
            AppError::Invalid { what, causes: vec![error.to_string()], hint: None }
        }
    };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.is_dir() {
        return Err(AppError::invalid(format!("`{shown}` is a folder")).with_hint("name the .wasm file in it"));
    }
    let max = COMPONENT_BYTES_MAX as u64;
    let too_large = |size: String| {
        let what = format!("`{shown}` has {size}, and a component may have {}", format_size(max));
        AppError::invalid(what).with_hint("build it with --release, and strip what is not needed at run time")
    };
    if about.len() > max {
        return Err(too_large(format_size(about.len())));
    }
    // A pipe has no size, and a file may grow while it is read.
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
    file.take(max + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(too_large("more".to_owned()));
    }
    if bytes.is_empty() {
        return Err(AppError::invalid(format!("`{shown}` is empty")).with_hint("a plugin is a WebAssembly component"));
    }
    Ok(bytes)
}

/// The name that a plugin gets: the one given, or the file's.
pub(crate) fn plugin_name(given: Option<PluginName>, path: &Path) -> AppResult<PluginName> {
    if let Some(name) = given {
        return Ok(name);
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    PluginName::new(&stem)
        .map_err(|error| AppError::invalid(error.to_string()).with_hint("name the plugin with --name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_named_for_its_file_unless_a_name_is_given() {
        let name = |path: &str| plugin_name(None, Path::new(path)).ok().map(|name| name.to_string());
        assert_eq!(name("target/release/My_Plugin.wasm"), Some("my_plugin".to_owned()));
        assert_eq!(name("über.wasm"), None);
        let given = PluginName::new("other").expect("valid");
        assert_eq!(plugin_name(Some(given.clone()), Path::new("über.wasm")).ok(), Some(given));
    }
}

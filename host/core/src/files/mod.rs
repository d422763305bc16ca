//! Files and folders of this machine that secrets and rights hang on: files that their owner alone may read, and folders that are the ones
//! they were taken for.

mod folder;
mod private;

pub use self::folder::{FolderError, identity_of, open_folder};
pub use self::private::{
    PrivateFile, create_private_file, ensure_private_folder, narrow_database, read_private_file, write_private_file,
};

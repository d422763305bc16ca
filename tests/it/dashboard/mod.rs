//! The dashboard, asked as a browser asks. What a browser does with its pages is seen in a browser.

mod actions;
pub(crate) mod browser;
mod login;
mod pages;

use tests::api::Server;
use tests::artifacts::plugin;
use tests::cli::User;

/// A user who has registered these plugins.
fn user_with(plugins: &[&str]) -> User {
    let user = User::new();
    for name in plugins {
        user.ok(["register".as_ref(), plugin(name).as_os_str(), "--yes".as_ref()]);
    }
    user
}

/// A server that runs no jobs.
fn idle_server(user: &User, flags: &[&str]) -> Server {
    Server::of(user, &[&["api", "--listen", "127.0.0.1:0"], flags].concat(), "listening on")
}

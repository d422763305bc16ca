//! The HTTP interface: requests to operations, operations to answers.
//!
//! What the command line does, a program in any language does here, by the same operations of [`crate::app`], and what it reads is the same
//! JSON as that of `--json`. `router` has the one table of what can be asked for and who may ask; the router is made from it.
//!
//! A request passes, from the outside in: the limits of its connection (`server`, `places`, `stall`), the check of where it comes from (`origin`), that of who
//! sends it (`auth`), and the limits of its body and its time (`call`). Every error leaves as a problem (`problem`).
//!
//! The pages for people are those of `dashboard`, which has a table of its own: a browser shows a cookie and no token, and reads errors as
//! pages.
//!
//! A client that goes away leaves nothing half done: its handler is dropped at an await, and the operations hold under that.
//!
//! # To add a route
//!
//! Operation in `app` → handler beside those of its noun → line in the noun's `routes()`, with its permission → cases in `tests/it/api`.

mod auth;
mod call;
mod caller;
mod dashboard;
mod health;
mod listen;
mod metrics;
mod openapi;
mod origin;
mod places;
mod problem;
mod query;
mod route;
mod router;
mod server;
mod session;
mod stall;
mod state;
mod tls;
mod token;
mod v1;

pub use listen::{Listen, ListenError};
pub use server::ApiServer;
pub use state::ApiOptions;
pub use tls::TlsFiles;

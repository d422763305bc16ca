//! The attribute of the guest SDK.

//! The attribute of the guest SDK. Use it as `guest_sdk::task`, where it is documented.
//!
//! The work is done in three steps: `attributes` and `signature` read what is there into plain structs and collect
//! every fault with its place; `expand` writes the code. Whatever is wrong, the function itself is always written
//! out, so that one fault does not draw a tail of others behind it.

mod attributes;
mod expand;
mod signature;
mod values;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a function a task of the plugin.
///
/// See the documentation of the crate `guest_sdk` for what it takes.
#[proc_macro_attribute]
pub fn task(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let mut function = match syn::parse::<syn::ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = syn::Error::new(error.span(), format!("#[task] goes on a function with a body: {error}"));
            let (error, item) = (error.to_compile_error(), proc_macro2::TokenStream::from(item));
            return quote!(#error #item).into();
        }
    };
    let attributes = attributes::parse(attributes.into());
    let signature = signature::take(&mut function);
    let code = match (attributes, signature) {
        (Ok(attributes), Ok(signature)) => expand::expand(&function, &attributes, &signature),
        (attributes, signature) => {
            let errors = [attributes.err(), signature.err()].into_iter().flatten();
            errors.map(|error| error.to_compile_error()).collect()
        }
    };
    quote!(#function #code).into()
}

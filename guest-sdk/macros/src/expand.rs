//! The code that registers a task.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, LitStr};

use crate::attributes::{Attributes, Backoff, OrNone, check_name};
use crate::signature::{Parameter, Signature};

/// Writes what comes beside the function: an entry in the registry, and the two functions that it points to.
pub(crate) fn expand(function: &ItemFn, attributes: &Attributes, signature: &Signature) -> TokenStream {
    let ident = &function.sig.ident;
    let name = match &attributes.name {
        Some(name) => name.clone(),
        None => LitStr::new(ident.to_string().trim_start_matches("r#"), ident.span()),
    };
    if let Err(fault) = check_name(&name.value()) {
        let message = format!("{fault}; give another by `name = \"…\"`");
        return syn::Error::new(name.span(), message).to_compile_error();
    }
    let description = &signature.description;
    let parameters = signature.parameters.iter().map(parameter);
    let (run, describe) = (run(function, signature), describe(signature));
    let settings = settings(attributes);
    quote! {
        const _: () = {
            static PARAMETERS: &[::guest_sdk::__private::Parameter] = &[#(#parameters),*];

            #run
            #describe
            #settings

            ::guest_sdk::__private::submit! {
                ::guest_sdk::__private::TaskEntry {
                    name: #name,
                    description: #description,
                    place: (::core::file!(), ::core::line!()),
                    parameters: PARAMETERS,
                    run,
                    describe,
                    settings,
                }
            }
        };
    }
}

fn parameter(parameter: &Parameter) -> TokenStream {
    let Parameter { name, description, .. } = parameter;
    let required = matches!(parameter.when_missing, crate::signature::WhenMissing::Refuse);
    let json = |value: Option<TokenStream>| match value {
        Some(value) => quote!(::core::option::Option::Some(|| ::guest_sdk::__private::json!(#value))),
        None => quote!(::core::option::Option::None),
    };
    let default = json(parameter.default_as_json());
    let example = json(parameter.example.clone());
    quote! {
        ::guest_sdk::__private::Parameter {
            name: #name,
            description: #description,
            required: #required,
            default: #default,
            example: #example,
        }
    }
}

fn run(function: &ItemFn, signature: &Signature) -> TokenStream {
    let ident = &function.sig.ident;
    let context = signature.takes_context.then(|| quote!(&::guest_sdk::Context::current(),));
    let variables: Vec<_> =
        (0..signature.parameters.len()).map(|index| quote::format_ident!("argument_{index}")).collect();
    let reads = signature.parameters.iter().zip(&variables).enumerate().map(|(index, (parameter, variable))| {
        // Errors about the type belong to the type, not to the attribute.
        let (ty, span) = (&parameter.ty, parameter.ty.span());
        match parameter.default_expr(ty, span) {
            None => quote_spanned!(span=> let #variable = arguments.required::<#ty>(#index)?;),
            Some(default) => quote_spanned!(span=> let #variable = arguments.or_else::<#ty>(#index, || #default)?;),
        }
    });
    let arguments = if variables.is_empty() { quote!(_) } else { quote!(mut arguments) };
    let returns = signature.returns.span();
    let finish = quote_spanned! {returns=>
        ::guest_sdk::__private::finish(args.encoding, ::guest_sdk::__private::Returned(returned).into_result())
    };
    quote! {
        #[allow(clippy::let_unit_value, clippy::redundant_closure, reason = "the author's types decide what is written here")]
        fn run(
            args: &::guest_sdk::Payload,
        ) -> ::core::result::Result<::guest_sdk::Payload, ::guest_sdk::TaskError> {
            #[allow(unused_imports, reason = "used unless the task returns a `Result`")]
            use ::guest_sdk::__private::Plain as _;
            let #arguments = ::guest_sdk::__private::Arguments::decode(args, PARAMETERS)?;
            #(#reads)*
            let returned = #ident(#context #(#variables),*);
            #finish
        }
    }
}

fn describe(signature: &Signature) -> TokenStream {
    let arguments = signature.parameters.iter().enumerate().map(|(index, parameter)| {
        let ty = &parameter.ty;
        quote_spanned!(ty.span()=> describer.argument::<#ty>(&PARAMETERS[#index]);)
    });
    let returns = &signature.returns;
    let result = quote_spanned! {returns.span()=>
        describer.result(::guest_sdk::__private::ReturnType::<#returns>(::core::marker::PhantomData).of_success());
    };
    quote! {
        fn describe(describer: &mut ::guest_sdk::__private::Describer) {
            #[allow(unused_imports, reason = "used unless the task returns a `Result`")]
            use ::guest_sdk::__private::PlainType as _;
            #(#arguments)*
            #result
        }
    }
}

fn settings(attributes: &Attributes) -> TokenStream {
    let max_running_jobs = option(attributes.max_running_jobs.as_ref().map(|limit| match limit {
        OrNone::None => quote!(::guest_sdk::Limit::Unlimited),
        OrNone::Some(number) => quote!(::guest_sdk::Limit::AtMost(#number)),
    }));
    let misfire_grace_time = option(attributes.misfire_grace_time.as_ref().map(|grace| match grace {
        OrNone::None => quote!(::guest_sdk::Grace::Unlimited),
        OrNone::Some(span) => {
            let span = duration(*span);
            quote!(::guest_sdk::Grace::Within(#span))
        }
    }));
    let executor = option(attributes.executor.as_ref().map(|name| quote!(::std::borrow::Cow::Borrowed(#name))));
    let metadata = option((!attributes.metadata.is_empty()).then(|| {
        let pairs = attributes.metadata.iter().map(|(key, value)| quote!(#key: #value));
        quote!(::std::borrow::Cow::Owned(::guest_sdk::__private::json!({ #(#pairs),* }).to_string()))
    }));
    let timeout = option(attributes.timeout.map(duration));
    let fuel = option(attributes.fuel.map(|fuel| quote!(#fuel)));
    let memory_bytes = option(attributes.memory_bytes.map(|bytes| quote!(#bytes)));
    let max_attempts = option(attributes.max_attempts.map(|attempts| quote!(#attempts)));
    let backoff = option(attributes.backoff.as_ref().map(backoff));
    let priority = option(attributes.priority.map(|priority| quote!(#priority)));
    let result_ttl = option(attributes.result_ttl.map(duration));
    quote! {
        fn settings() -> ::guest_sdk::Settings {
            ::guest_sdk::Settings {
                max_running_jobs: #max_running_jobs,
                misfire_grace_time: #misfire_grace_time,
                executor: #executor,
                metadata: #metadata,
                timeout: #timeout,
                fuel: #fuel,
                memory_bytes: #memory_bytes,
                max_attempts: #max_attempts,
                backoff: #backoff,
                priority: #priority,
                result_ttl: #result_ttl,
            }
        }
    }
}

fn backoff(backoff: &Backoff) -> TokenStream {
    let set = |name: &str, value: Option<TokenStream>| {
        let name = syn::Ident::new(name, Span::call_site());
        value.map(|value| quote!(backoff.#name = #value;))
    };
    let parts = [
        set("initial", backoff.initial.map(duration)),
        set("max", backoff.max.map(duration)),
        set("factor_percent", backoff.factor_percent.map(|percent| quote!(#percent))),
        set("jitter_percent", backoff.jitter_percent.map(|percent| quote!(#percent))),
    ];
    quote!({
        let mut backoff = <::guest_sdk::Backoff as ::core::default::Default>::default();
        #(#parts)*
        // A first wait that is longer than the usual maximum raises it.
        backoff.max = ::core::cmp::Ord::max(backoff.max, backoff.initial);
        backoff
    })
}

fn duration(span: std::time::Duration) -> TokenStream {
    let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#milliseconds))
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

//! What the function takes and returns, and what `#[arg(…)]` says of it.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Pat, PatType, ReturnType, Token, Type};

use crate::values::{self, Errors, JsonValue, literal};

/// The function as the expansion needs it.
pub(crate) struct Signature {
    /// Whether the first parameter is the context.
    pub(crate) takes_context: bool,
    /// The other parameters.
    pub(crate) parameters: Vec<Parameter>,
    /// What it returns; `()` if it says nothing.
    pub(crate) returns: Type,
    /// The doc comment.
    pub(crate) description: String,
}

/// A parameter that becomes an argument of the job.
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) description: String,
    pub(crate) when_missing: WhenMissing,
    pub(crate) example: Option<TokenStream>,
}

/// What happens if a job does not give the argument.
pub(crate) enum WhenMissing {
    /// It is an error.
    Refuse,
    /// `None`, since the type is an `Option`.
    Nothing,
    /// `Default::default()`.
    Default,
    /// This expression.
    Value(Expr),
}

/// Reads the signature, and takes from it the attributes that only `#[task]` understands.
///
/// # Errors
///
/// All that is wrong with it, each at its place.
pub(crate) fn take(function: &mut ItemFn) -> syn::Result<Signature> {
    let mut errors = Errors::default();
    check_kind(function, &mut errors);
    let description = documentation(&function.attrs);
    let mut parameters: Vec<Parameter> = Vec::new();
    let mut takes_context = false;
    for (index, input) in function.sig.inputs.iter_mut().enumerate() {
        let input = match input {
            FnArg::Typed(input) => input,
            FnArg::Receiver(receiver) => {
                let message = "a task is a free function: it has nothing to be a method of, since each job runs in a fresh instance";
                errors.add(syn::Error::new(receiver.span(), message));
                continue;
            }
        };
        if is_context(&input.ty) {
            if index > 0 {
                errors.add(syn::Error::new(input.ty.span(), "`&Context` goes in front of the other parameters"));
            }
            takes_context = true;
            continue;
        }
        if let Some(parameter) = errors.keep(take_parameter(input)) {
            if parameters.iter().any(|other| other.name == parameter.name) {
                errors.add(syn::Error::new(input.pat.span(), format!("two arguments are named `{}`", parameter.name)));
            }
            parameters.push(parameter);
        }
    }
    let returns = match &function.sig.output {
        ReturnType::Default => syn::parse_quote!(()),
        ReturnType::Type(_, ty) => ty.as_ref().clone(),
    };
    if let Type::ImplTrait(ty) = &returns {
        errors.add(syn::Error::new(
            ty.span(),
            "a task returns a type that has a name, since its schema is part of the plugin",
        ));
    }
    errors.finish(Signature { takes_context, parameters, returns, description })
}

fn check_kind(function: &ItemFn, errors: &mut Errors) {
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        let message = "a task cannot be `async`: the host runs many jobs at a time, each in an instance of its own, so waiting here costs nobody anything";
        errors.add(syn::Error::new(token.span(), message));
    }
    if let Some(token) = &signature.unsafety {
        errors.add(syn::Error::new(
            token.span(),
            "a task cannot be `unsafe`: the host calls it with whatever a job brings",
        ));
    }
    if !signature.generics.params.is_empty() {
        let message = "a task cannot be generic: the host calls it by name, and would not know with which types";
        errors.add(syn::Error::new(signature.generics.params.span(), message));
    }
    if let Some(variadic) = &signature.variadic {
        errors.add(syn::Error::new(variadic.span(), "a task has a fixed number of parameters"));
    }
}

fn is_context(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else { return false };
    matches!(reference.elem.as_ref(), Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == "Context"))
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == "Option"))
}

fn take_parameter(input: &mut PatType) -> syn::Result<Parameter> {
    let mut errors = Errors::default();
    let description = documentation(&input.attrs);
    let mut arg = ArgAttribute::default();
    for attribute in &input.attrs {
        if attribute.path().is_ident("arg") {
            errors.keep(attribute.parse_args_with(|tokens: ParseStream<'_>| arg.read(tokens)));
        }
    }
    // rustc knows neither `#[arg]` nor documentation on parameters.
    input.attrs.retain(|attribute| !attribute.path().is_ident("arg") && !attribute.path().is_ident("doc"));
    match input.ty.as_ref() {
        Type::Reference(ty) => {
            let owned = owned_form(&ty.elem);
            errors.add(syn::Error::new(ty.span(), format!("an argument must own its data: use `{owned}`")));
        }
        Type::ImplTrait(ty) => errors.add(syn::Error::new(
            ty.span(),
            "an argument has a type with a name, since its schema is part of the plugin",
        )),
        _ => {}
    }
    let name = match (&arg.name, input.pat.as_ref()) {
        (Some(name), _) => name.value(),
        (None, Pat::Ident(ident)) if ident.subpat.is_none() => unraw(&ident.ident).trim_start_matches('_').to_owned(),
        (None, pattern) => {
            let message = "an argument needs a name: take it under one, or give one by `#[arg(name = \"…\")]`";
            errors.add(syn::Error::new(pattern.span(), message));
            String::new()
        }
    };
    let when_missing = match arg.default {
        Some(when_missing) => when_missing,
        None if is_option(&input.ty) => WhenMissing::Nothing,
        None => WhenMissing::Refuse,
    };
    let parameter = Parameter { name, ty: input.ty.as_ref().clone(), description, when_missing, example: arg.example };
    errors.finish(parameter)
}

/// What to write instead of a reference.
fn owned_form(borrowed: &Type) -> String {
    match borrowed {
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Slice(slice) => format!("Vec<{}>", slice.elem.to_token_stream()),
        other => other.to_token_stream().to_string(),
    }
}

fn unraw(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

/// What `#[arg(…)]` says.
#[derive(Default)]
struct ArgAttribute {
    name: Option<LitStr>,
    default: Option<WhenMissing>,
    example: Option<TokenStream>,
}

impl ArgAttribute {
    fn read(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        for part in Punctuated::<ArgPart, Token![,]>::parse_terminated(input)? {
            match part {
                ArgPart::Name(name) => self.name = Some(name),
                ArgPart::Default(when_missing) => self.default = Some(when_missing),
                ArgPart::Example(example) => self.example = Some(example),
            }
        }
        Ok(())
    }
}

enum ArgPart {
    Name(LitStr),
    Default(WhenMissing),
    Example(TokenStream),
}

impl Parse for ArgPart {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: Ident = input.parse()?;
        let has_value = input.peek(Token![=]);
        match name.to_string().as_str() {
            "default" if !has_value => return Ok(ArgPart::Default(WhenMissing::Default)),
            "name" | "default" | "example" => {}
            other => return Err(values::unknown(name.span(), "part of `arg`", other, &["name", "default", "example"])),
        }
        if !has_value {
            return Err(syn::Error::new(name.span(), format!("`{name}` needs a value: `{name} = …`")));
        }
        input.parse::<Token![=]>()?;
        Ok(match name.to_string().as_str() {
            "name" => ArgPart::Name(input.parse()?),
            "default" => ArgPart::Default(WhenMissing::Value(input.parse()?)),
            _ => ArgPart::Example(input.parse::<JsonValue>()?.tokens),
        })
    }
}

impl Parameter {
    /// The default as JSON, if it is a literal.
    pub(crate) fn default_as_json(&self) -> Option<TokenStream> {
        match &self.when_missing {
            WhenMissing::Value(expr) => literal(expr).map(|_| quote!(#expr)),
            WhenMissing::Nothing => Some(quote!(null)),
            WhenMissing::Refuse | WhenMissing::Default => None,
        }
    }

    /// The expression of the default. Text converts, so that `String` parameters can have some.
    pub(crate) fn default_expr(&self, ty: &Type, span: Span) -> Option<TokenStream> {
        match &self.when_missing {
            WhenMissing::Refuse => None,
            WhenMissing::Nothing => Some(quote::quote_spanned!(span=> ::core::option::Option::None)),
            WhenMissing::Default => Some(quote::quote_spanned!(span=> <#ty as ::core::default::Default>::default())),
            WhenMissing::Value(expr @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => {
                Some(quote::quote_spanned!(span=> ::core::convert::Into::<#ty>::into(#expr)))
            }
            WhenMissing::Value(expr) => Some(quote!(#expr)),
        }
    }
}

/// The doc comments, without the blank that stands behind the slashes.
fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

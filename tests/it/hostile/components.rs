//! The attacking components.

use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentExportKind, ComponentImportSection, ComponentInstanceSection,
    ComponentSectionId, ComponentTypeRef, ComponentTypeSection, Function, FunctionSection, InstanceType, Module,
    NameMap, NameSection, RawSection, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

use crate::generated::{PLAIN, Plugin, append_section, push_number};

const COMPONENT: u8 = ComponentSectionId::Component as u8;

/// A plugin that traps and has these custom sections.
fn trapping_with(custom: Vec<(&'static str, Vec<u8>)>) -> Vec<u8> {
    Plugin { custom, ..Plugin::trapping() }.component()
}

/// A section of names: that of the module, and those of functions.
fn names(functions: impl IntoIterator<Item = (u32, String)>) -> Vec<u8> {
    let mut map = NameMap::new();
    for (index, name) in functions {
        map.append(index, &name);
    }
    let mut section = NameSection::new();
    section.module("attack");
    section.functions(&map);
    let mut bytes = Vec::new();
    wasm_encoder::Encode::encode(&section, &mut bytes);
    // Behind the length of the section and its name, which are written again where it is put.
    let name = bytes.windows(5).position(|bytes| bytes == b"\x04name").expect("the section has its name");
    bytes.split_off(name + 5)
}

/// The index of the task's function in a generated module.
const RUN: u32 = 1;

fn run_name() -> (&'static str, Vec<u8>) {
    ("name", names([(RUN, "run".to_owned())]))
}

/// Debug information of one unit: a function with calls inlined into each other. Enough of DWARF 4 for a reader to follow.
pub(super) fn deep_inlining() -> Vec<u8> {
    const DEPTH: usize = 8_000;
    const END: u32 = 1 << 16;
    // Code, tag, has children, then attribute and form: addresses, and for the third what was inlined.
    let abbreviations = [
        &[1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0, 0][..],
        &[2, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0, 0],
        &[3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0, 0, 0],
    ]
    .concat();
    let range = [0_u32.to_le_bytes(), END.to_le_bytes()].concat();
    // Version 4, the abbreviations at 0, addresses of 4 bytes.
    let mut unit = vec![4, 0, 0, 0, 0, 0, 4];
    unit.push(1);
    unit.extend(&range);
    // Offsets count from the length of the unit, which comes before it.
    let function = u32::try_from(unit.len() + 4).expect("a small offset");
    unit.extend([2, b'f', 0]);
    unit.extend(&range);
    for _ in 0..DEPTH {
        unit.push(3);
        unit.extend(function.to_le_bytes());
        unit.extend(&range);
    }
    unit.extend(vec![0; DEPTH + 2]);
    let mut info = u32::try_from(unit.len()).expect("a small unit").to_le_bytes().to_vec();
    info.extend(unit);
    trapping_with(vec![(".debug_info", info), (".debug_abbrev", abbreviations), run_name()])
}

pub(super) fn long_line_table() -> Vec<u8> {
    trapping_with(vec![(".debug_line", vec![1; 20 << 20]), run_name()])
}

/// `f(A<int, int>, A<that, that>, …)`, each argument by references to the one before.
pub(super) fn exponential_cpp_name() -> Vec<u8> {
    const LEVELS: usize = 25;
    let digit =
        |at: usize| char::from_digit(u32::try_from(at).expect("small"), 36).expect("a digit").to_ascii_uppercase();
    let mut name = "_Z1f1AIiiE".to_owned();
    for level in 0..LEVELS {
        let before = digit(level);
        name.push_str(&format!("S_IS{before}_S{before}_E"));
    }
    trapping_with(vec![("name", names([(RUN, name)]))])
}

/// A tuple of the tuple before it twice, thirty times, by references back into the name.
pub(super) fn exponential_rust_name() -> Vec<u8> {
    let mut name = "_RIC1c".to_owned();
    let mut before = name.len();
    name.push_str("Thh E".replace(' ', "").as_str());
    for _ in 0..30 {
        let reference = back_reference(before - 2);
        before = name.len();
        name.push_str(&format!("T{reference}{reference}E"));
    }
    name.push('E');
    trapping_with(vec![("name", names([(RUN, name)]))])
}

/// A reference to a place in a name, in the digits of Rust's mangling.
fn back_reference(at: usize) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut digits = Vec::new();
    let mut rest = at;
    while rest > 0 {
        rest -= 1;
        digits.push(char::from(DIGITS[rest % 62]));
        rest /= 62;
    }
    format!("B{}_", digits.iter().rev().collect::<String>())
}

pub(super) fn million_names() -> Vec<u8> {
    // The function that traps has the last of them.
    let many = (0..1_000_000).map(|index| (index + 2, format!("{index:050}")));
    trapping_with(vec![("name", names(many.chain([(RUN, "run".to_owned())])))])
}

pub(super) fn long_name() -> Vec<u8> {
    trapping_with(vec![("name", names([(RUN, "n".repeat(40 << 20))]))])
}

/// A plugin with one more function, which has so many locals and this body.
fn with_function(locals: u32, body: &[u8]) -> Vec<u8> {
    let mut function = Function::new([(locals, ValType::I32)]);
    function.raw(body.iter().copied());
    function.instructions().end();
    Plugin { functions: vec![(PLAIN, function)], custom: vec![run_name()], ..Plugin::trapping() }.component()
}

fn instructions(write: impl FnOnce(&mut wasm_encoder::InstructionSink<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut wasm_encoder::InstructionSink::new(&mut bytes));
    bytes
}

/// Loops in loops, each of which changes a local that those around it see.
fn loops_over_locals(loops: usize, locals: u32) -> Vec<u8> {
    let mut body = Vec::new();
    for at in 0..loops {
        let local = u32::try_from(at).expect("few loops") % locals;
        body.extend(instructions(|code| {
            code.loop_(BlockType::Empty).local_get(local).i32_const(1).i32_add().local_set(local);
        }));
    }
    for at in 0..loops {
        let local = u32::try_from(at).expect("few loops") % locals;
        body.extend(instructions(|code| {
            code.local_get(local).br_if(0).end();
        }));
    }
    body
}

pub(super) fn nested_loops() -> Vec<u8> {
    with_function(100, &loops_over_locals(9_000, 100))
}

pub(super) fn loops_over_many_locals() -> Vec<u8> {
    with_function(40_000, &loops_over_locals(90, 40_000).repeat(50))
}

pub(super) fn many_calls() -> Vec<u8> {
    let call = instructions(|code| {
        code.call(0).drop();
    });
    with_function(1, &call.repeat(600_000))
}

pub(super) fn blocks_over_locals() -> Vec<u8> {
    with_function(40_000, &simple_blocks(3 * 2_000))
}

fn simple_blocks(bytes: usize) -> Vec<u8> {
    instructions(|code| {
        code.block(BlockType::Empty).end();
    })
    .repeat(bytes / 3)
}

pub(super) fn blocks(bytes: usize) -> Vec<u8> {
    // The limit is on the function with everything around its body.
    with_function(1, &simple_blocks(bytes - 64))
}

pub(super) fn nested_blocks() -> Vec<u8> {
    let begin = instructions(|code| {
        code.block(BlockType::Empty);
    });
    let end = instructions(|code| {
        code.end();
    });
    with_function(1, &[begin.repeat(30_000), end.repeat(30_000)].concat())
}

/// As much of everything as one function may have, or nearly so.
pub(super) fn hardest_function() -> Vec<u8> {
    let locals = 100;
    // 2,500 loops, 100 in each other.
    let mut body = loops_over_locals(100, locals).repeat(25);
    for at in 0..47_000 {
        let (from, to) = (at % locals, (at + 1) % locals);
        body.extend(instructions(|code| {
            code.block(BlockType::Empty).local_get(from).br_if(0).local_get(from).local_set(to).end();
        }));
    }
    let call = instructions(|code| {
        code.call(0).drop();
    });
    body.extend(call.repeat(200_000));
    with_function(locals, &body)
}

/// A plugin with one more module, of a million functions that do nothing.
pub(super) fn million_functions() -> Vec<u8> {
    const COUNT: usize = 1_000_000;
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut empty = Function::new([]);
    empty.instructions().end();
    for _ in 0..COUNT {
        functions.function(0);
        code.function(&empty);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    Plugin { outer: vec![(ComponentSectionId::CoreModule as u8, module.finish())], ..Plugin::trapping() }.component()
}

/// An empty component, as bytes.
fn empty_component() -> Vec<u8> {
    Component::new().finish()
}

pub(super) fn nested_components() -> Vec<u8> {
    // From the innermost to the outermost; each is written once, with the lengths of those inside known beforehand.
    let header = empty_component();
    let mut heads = Vec::new();
    let mut inner = header.len();
    for _ in 0..20_000 {
        let mut head = header.clone();
        head.push(COMPONENT);
        push_number(&mut head, inner);
        inner += head.len();
        heads.push(head);
    }
    let nested = heads.into_iter().rev().flatten().chain(header).collect();
    Plugin { outer: vec![(COMPONENT, nested)], ..Plugin::trapping() }.component()
}

pub(super) fn many_components() -> Vec<u8> {
    Plugin { outer: vec![(COMPONENT, empty_component()); 20_000], ..Plugin::trapping() }.component()
}

pub(super) fn many_types() -> Vec<u8> {
    Plugin { more_types: 20_000, ..Plugin::trapping() }.component()
}

pub(super) fn many_component_types() -> Vec<u8> {
    // A type of instances for each ten of other types in it.
    let mut section = ComponentTypeSection::new();
    for _ in 0..2_000 {
        let mut instance = InstanceType::new();
        for _ in 0..10 {
            instance
                .ty()
                .defined_type()
                .list(wasm_encoder::ComponentValType::Primitive(wasm_encoder::PrimitiveValType::U8));
        }
        section.instance(&instance);
    }
    Plugin { outer: vec![content(&section)], ..Plugin::trapping() }.component()
}

/// The id and the content of a section.
fn content(section: &impl wasm_encoder::ComponentSection) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    section.append_to_component(&mut bytes);
    let length = bytes[1..].iter().position(|byte| byte & 0x80 == 0).expect("a length") + 2;
    (bytes[0], bytes.split_off(length))
}

/// A type of instances with a type of instances in it, and so on.
pub(super) fn nested_types() -> Vec<u8> {
    // One type: instance types of one declaration each, which is a type.
    let mut section = vec![1];
    section.extend([0x42, 1, 1].repeat(100_000));
    section.extend([0x42, 0]);
    Plugin { outer: vec![(ComponentSectionId::Type as u8, section)], ..Plugin::trapping() }.component()
}

/// A component with two instances of a component with two instances of …, of which the plugin makes one.
pub(super) fn doubled_instances() -> Vec<u8> {
    let instantiate = |of: u32, times: usize| {
        let mut instances = ComponentInstanceSection::new();
        for _ in 0..times {
            instances.instantiate(of, Vec::<(&str, ComponentExportKind, u32)>::new());
        }
        instances
    };
    let mut inner = empty_component();
    for _ in 0..30 {
        let mut component = Component::new();
        component.section(&RawSection { id: COMPONENT, data: &inner });
        component.section(&instantiate(0, 2));
        inner = component.finish();
    }
    let mut plugin = Plugin::trapping().component();
    let index = components_in(&plugin);
    append_section(&mut plugin, COMPONENT, &inner);
    let (id, content) = content(&instantiate(index, 1));
    append_section(&mut plugin, id, &content);
    plugin
}

/// How many components lie directly in a component.
fn components_in(component: &[u8]) -> u32 {
    let mut depth = 0;
    let mut count = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("a component") {
            Payload::ComponentSection { .. } => {
                count += u32::from(depth == 0);
                depth += 1;
            }
            Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    count
}

/// A plugin that imports these besides, each as an instance of nothing.
fn importing(names: impl IntoIterator<Item = String>) -> Vec<u8> {
    let mut plugin = Plugin::trapping().component();
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut imports = ComponentImportSection::new();
    for name in names {
        imports.import(name.as_str(), ComponentTypeRef::Instance(0));
    }
    for (id, content) in [content(&types), content(&imports)] {
        append_section(&mut plugin, id, &content);
    }
    plugin
}

pub(super) fn long_import() -> Vec<u8> {
    importing([format!("url=<https://evil.example/{}>", "a".repeat(90_000))])
}

pub(super) fn many_imports() -> Vec<u8> {
    importing((0..5_000).map(|number| format!("evil:part{number}/x")))
}

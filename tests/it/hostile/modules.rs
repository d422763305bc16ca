//! Modules that compute, grow, trap, or want of the engine what it does not have.

use wasm_encoder::{
    BlockType, Function, HeapType, MemorySection, MemoryType, RefType, TagKind, TagSection, TagType, ValType,
};

use crate::generated::{PLAIN, Plugin, constant};

/// A function that loops for ever.
pub(super) fn spinning() -> Function {
    let mut function = Function::new([]);
    function.instructions().loop_(BlockType::Empty).br(0).end().unreachable().end();
    function
}

/// A plugin whose task does this, and traps where it ends.
fn doing(write: impl FnOnce(&mut wasm_encoder::InstructionSink<'_>)) -> Plugin {
    let mut run = Function::new([]);
    let mut code = run.instructions();
    write(&mut code);
    code.unreachable().end();
    Plugin::running(run)
}

/// A plugin whose task does this again and again for as long as it gives a number that is not -1.
fn until_refused(write: impl FnOnce(&mut wasm_encoder::InstructionSink<'_>)) -> Plugin {
    doing(|code| {
        code.loop_(BlockType::Empty);
        write(code);
        code.i32_const(-1).i32_ne().br_if(0).end();
    })
}

pub(super) fn endless_start() -> Vec<u8> {
    Plugin { start: Some(spinning()), ..Plugin::trapping() }.component()
}

pub(super) fn trapping_start() -> Vec<u8> {
    let mut start = Function::new([]);
    start.instructions().unreachable().end();
    Plugin { start: Some(start), ..Plugin::trapping() }.component()
}

pub(super) fn endless_computation() -> Vec<u8> {
    Plugin::running(spinning()).component()
}

pub(super) fn growing_memory() -> Vec<u8> {
    until_refused(|code| {
        code.i32_const(1).memory_grow(0);
    })
    .component()
}

pub(super) fn growing_table() -> Vec<u8> {
    let plugin = until_refused(|code| {
        code.ref_null(HeapType::FUNC).i32_const(1_000).table_grow(0);
    });
    Plugin { table: Some(1), ..plugin }.component()
}

pub(super) fn large_table() -> Vec<u8> {
    Plugin { table: Some(u64::from(u32::MAX)), ..Plugin::trapping() }.component()
}

/// Memory that is written from end to end in one instruction, again and again.
pub(super) fn filling_memory() -> Vec<u8> {
    let plugin = doing(|code| {
        code.loop_(BlockType::Empty);
        code.i32_const(0).i32_const(1).i32_const(64 << 20).memory_fill(0).br(0).end();
    });
    Plugin { pages: 1_024, ..plugin }.component()
}

pub(super) fn copying_memory() -> Vec<u8> {
    let plugin = doing(|code| {
        code.loop_(BlockType::Empty);
        code.i32_const(32 << 20).i32_const(0).i32_const(32 << 20).memory_copy(0, 0).br(0).end();
    });
    Plugin { pages: 1_024, ..plugin }.component()
}

pub(super) fn large_memory() -> Vec<u8> {
    Plugin { pages: 65_536, ..Plugin::trapping() }.component()
}

/// A task that calls a function that calls itself.
fn recursing(function: Function) -> Vec<u8> {
    let plugin = doing(|code| {
        code.call(3);
    });
    Plugin { functions: vec![(PLAIN, function)], ..plugin }.component()
}

pub(super) fn recursion() -> Vec<u8> {
    let mut function = Function::new([]);
    function.instructions().call(3).end();
    recursing(function)
}

/// Recursion with 2,000 numbers in each call that are needed when it comes back.
pub(super) fn recursion_with_large_frames() -> Vec<u8> {
    const LOCALS: u32 = 2_000;
    let mut function = Function::new([(LOCALS, ValType::I32)]);
    let mut code = function.instructions();
    for local in 0..LOCALS {
        code.global_get(0).i32_const(local.cast_signed()).i32_add().local_set(local);
    }
    code.call(3);
    for local in 0..LOCALS {
        code.local_get(local).global_set(0);
    }
    code.end();
    recursing(function)
}

pub(super) fn empty_table_entry() -> Vec<u8> {
    let plugin = doing(|code| {
        code.i32_const(0).call_indirect(0, PLAIN);
    });
    Plugin { table: Some(1), ..plugin }.component()
}

pub(super) fn table_index_outside() -> Vec<u8> {
    let plugin = doing(|code| {
        code.i32_const(-1).call_indirect(0, PLAIN);
    });
    Plugin { table: Some(1), ..plugin }.component()
}

pub(super) fn address_outside() -> Vec<u8> {
    let far = wasm_encoder::MemArg { offset: u64::from(u32::MAX), align: 0, memory_index: 0 };
    doing(|code| {
        code.i32_const(-1).i32_load8_u(far).drop();
    })
    .component()
}

pub(super) fn division_by_zero() -> Vec<u8> {
    doing(|code| {
        code.i32_const(1).i32_const(0).i32_div_s().drop();
    })
    .component()
}

pub(super) fn integer_of_nan() -> Vec<u8> {
    doing(|code| {
        code.f64_const(f64::NAN.into()).i32_trunc_f64_s().drop();
    })
    .component()
}

/// The content of a section, behind its length.
fn content(section: &impl wasm_encoder::Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).expect("a length") + 1;
    bytes.split_off(length)
}

pub(super) fn exceptions() -> Vec<u8> {
    const TAGS: u8 = wasm_encoder::SectionId::Tag as u8;
    let mut tags = TagSection::new();
    tags.tag(TagType { kind: TagKind::Exception, func_type_idx: PLAIN });
    let plugin = doing(|code| {
        code.throw(0);
    });
    Plugin { inner: vec![(TAGS, content(&tags))], ..plugin }.component()
}

/// A module with one more memory of this kind in the place of a memory of its own.
fn with_memory(ty: MemoryType) -> Vec<u8> {
    const MEMORIES: u8 = wasm_encoder::SectionId::Memory as u8;
    let mut module = wasm_encoder::Module::new();
    let mut memories = MemorySection::new();
    memories.memory(ty);
    module.section(&wasm_encoder::RawSection { id: MEMORIES, data: &content(&memories) });
    let part = (wasm_encoder::ComponentSectionId::CoreModule as u8, module.finish());
    Plugin { outer: vec![part], ..Plugin::trapping() }.component()
}

const MEMORY: MemoryType =
    MemoryType { minimum: 1, maximum: Some(1), memory64: false, shared: false, page_size_log2: None };

pub(super) fn shared_memory() -> Vec<u8> {
    with_memory(MemoryType { shared: true, ..MEMORY })
}

pub(super) fn memory_of_64_bits() -> Vec<u8> {
    with_memory(MemoryType { memory64: true, ..MEMORY })
}

pub(super) fn garbage_collected_types() -> Vec<u8> {
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().array(&wasm_encoder::StorageType::Val(ValType::Ref(RefType::ANYREF)), true);
    let mut module = wasm_encoder::Module::new();
    module.section(&types);
    let part = (wasm_encoder::ComponentSectionId::CoreModule as u8, module.finish());
    Plugin { outer: vec![part], ..Plugin::trapping() }.component()
}

/// What the host calls to have memory for the arguments does this.
pub(super) fn reallocating(reallocates: Function) -> Vec<u8> {
    Plugin { reallocates, ..Plugin::trapping() }.component()
}

pub(super) fn allocation_outside() -> Vec<u8> {
    reallocating(constant(-8))
}

pub(super) fn endless_post_return() -> Vec<u8> {
    let returns = Plugin::returning(crate::generated::Encoding::Json, b"1");
    Plugin { post_return: Some(spinning()), ..returns }.component()
}

/// A list of tasks at an address where there is none.
pub(super) fn list_outside() -> Vec<u8> {
    Plugin { lists: constant(0x7fff_fff8), ..Plugin::trapping() }.component()
}

pub(super) fn large_custom_section() -> Vec<u8> {
    Plugin { custom: vec![("junk", vec![0xff; 40 << 20])], ..Plugin::trapping() }.component()
}

/// One more module, with 20,000 sections of names that cannot be read.
pub(super) fn many_custom_sections() -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    for _ in 0..20_000 {
        module.section(&wasm_encoder::CustomSection { name: "name".into(), data: [0xff; 10].as_slice().into() });
    }
    let part = (wasm_encoder::ComponentSectionId::CoreModule as u8, module.finish());
    Plugin { outer: vec![part], ..Plugin::trapping() }.component()
}

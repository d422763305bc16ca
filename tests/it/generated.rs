//! Components made by the tests, byte by byte: plugins that no compiler of Rust would write.

use std::borrow::Cow;
use std::path::Path;
use std::sync::LazyLock;

use wasm_encoder::{
    CodeSection, ComponentAliasSection, ComponentExportKind, ComponentExportSection, ComponentInstanceSection,
    ComponentSectionId, ConstExpr, CustomSection, DataSection, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, ImportSection, MemorySection, MemoryType, Module, RawSection, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{Resolve, SizeAlign, Type};

/// The interface that every plugin exports.
const TASKS: &str = "jobs:plugin/tasks@0.1.0";
/// An interface between two parts of a composed plugin.
const WORDS: &str = "test:parts/words";

/// Types of functions that every generated module has, by index.
const LISTS: u32 = 0;
const RUNS: u32 = 1;
const REALLOCATES: u32 = 2;
/// No parameters, no results: for further functions.
pub(crate) const PLAIN: u32 = 3;
const SHOUTS: u32 = 4;

/// Where things lie in the memory of a generated module.
const LIST: i32 = 64;
const NAME: i32 = 128;
const DESCRIPTOR: i32 = 256;
/// Where a task's result lies.
pub(crate) const RESULT: i32 = 2048;
const DOCUMENT: i32 = 3072;
const HEAP: i32 = 8192;
const MEMORY_PAGES: u64 = 4;

/// A plugin with one task, `run`.
pub(crate) struct Plugin {
    /// The body of the task. Parameters: address and length of the name, encoding, address and length of the arguments. It gives the address
    /// of the result.
    pub(crate) run: Function,
    /// What lies at [`RESULT`].
    pub(crate) result: Vec<u8>,
    /// The document that the result points to.
    pub(crate) document: Vec<u8>,
    /// What the task says of itself.
    pub(crate) description: String,
    /// Further functions, by the index of their type. Nothing calls them.
    pub(crate) functions: Vec<(u32, Function)>,
    /// How many types of functions there are beyond those in use.
    pub(crate) more_types: u32,
    /// Memories beyond the first.
    pub(crate) more_memories: u32,
    /// Custom sections at the end of the module.
    pub(crate) custom: Vec<(&'static str, Vec<u8>)>,
    /// Sections at the end of the component: their ids and contents.
    pub(crate) outer: Vec<(u8, Vec<u8>)>,
}

impl Plugin {
    /// A plugin whose task does this.
    pub(crate) fn running(run: Function) -> Plugin {
        Plugin {
            run,
            result: result_of(Encoding::Json, DOCUMENT, 4),
            document: b"null".to_vec(),
            description: String::new(),
            functions: Vec::new(),
            more_types: 0,
            more_memories: 0,
            custom: Vec::new(),
            outer: Vec::new(),
        }
    }

    /// A plugin whose task returns these bytes.
    pub(crate) fn returning(encoding: Encoding, document: &[u8]) -> Plugin {
        let length = i32::try_from(document.len()).expect("a short document");
        Plugin {
            result: result_of(encoding, DOCUMENT, length),
            document: document.to_vec(),
            ..Plugin::running(constant(RESULT))
        }
    }

    /// A plugin whose task traps at once.
    pub(crate) fn trapping() -> Plugin {
        let mut run = Function::new([]);
        run.instructions().unreachable().end();
        Plugin::running(run)
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut component = encoded(self.module(), "jobs:plugin/plugin");
        for (id, content) in &self.outer {
            append_section(&mut component, *id, content);
        }
        component
    }

    fn module(&self) -> Module {
        let mut module = Module::new();
        let mut types = types();
        for _ in 0..self.more_types {
            types.ty().function([], []);
        }
        module.section(&types);
        let mut functions = FunctionSection::new();
        functions.function(LISTS).function(RUNS).function(REALLOCATES);
        for (ty, _) in &self.functions {
            functions.function(*ty);
        }
        module.section(&functions);
        module.section(&memories(1 + self.more_memories));
        module.section(&heap_top());
        let mut exports = ExportSection::new();
        exports.export(&format!("{TASKS}#list-tasks"), ExportKind::Func, 0);
        exports.export(&format!("{TASKS}#run"), ExportKind::Func, 1);
        exports.export("cabi_realloc", ExportKind::Func, 2);
        exports.export("memory", ExportKind::Memory, 0);
        module.section(&exports);
        let mut code = CodeSection::new();
        code.function(&constant(LIST)).function(&self.run).function(&reallocate());
        for (_, function) in &self.functions {
            code.function(function);
        }
        module.section(&code);
        module.section(&self.data());
        for (name, data) in &self.custom {
            module.section(&CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) });
        }
        module
    }

    fn data(&self) -> DataSection {
        let description = i32::try_from(HEAP as usize - self.description.len()).expect("a short description");
        let mut descriptor = vec![0; *DESCRIPTOR_BYTES];
        place(&mut descriptor, 0, &[NAME, 3, description, HEAP - description]);
        let mut data = DataSection::new();
        let mut at = |offset: i32, bytes: &[u8]| {
            data.active(0, &ConstExpr::i32_const(offset), bytes.iter().copied());
        };
        let mut list = vec![0; 8];
        place(&mut list, 0, &[DESCRIPTOR, 1]);
        at(LIST, &list);
        at(NAME, b"run");
        at(DESCRIPTOR, &descriptor);
        at(RESULT, &self.result);
        at(DOCUMENT, &self.document);
        at(description, self.description.as_bytes());
        data
    }
}

/// How a result is encoded, by its number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Encoding {
    Json = 0,
    Cbor = 1,
}

/// A result in memory: a success, with the document at this address.
pub(crate) fn result_of(encoding: Encoding, address: i32, length: i32) -> Vec<u8> {
    let mut result = vec![0; 24];
    result[8] = encoding as u8;
    place(&mut result, 12, &[address, length]);
    result
}

fn place(to: &mut [u8], at: usize, words: &[i32]) {
    for (word, place) in words.iter().zip(to[at..].chunks_mut(4)) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// A function that gives a number.
pub(crate) fn constant(value: i32) -> Function {
    let mut function = Function::new([]);
    function.instructions().i32_const(value).end();
    function
}

/// Appends a section to a module or component.
pub(crate) fn append_section(to: &mut Vec<u8>, id: u8, content: &[u8]) {
    to.push(id);
    push_number(to, content.len());
    to.extend_from_slice(content);
}

/// Appends a number as WebAssembly writes them (LEB128).
pub(crate) fn push_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0] & 0x7f);
}

/// A plugin composed of two components that have a memory each: one returns what the other answers, `"PING"`.
pub(crate) fn composed() -> Vec<u8> {
    compose(&encoded(shouting(), "test:parts/part"), &encoded(asking(), "test:parts/plugin"))
}

fn types() -> TypeSection {
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32; 5], [ValType::I32]);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    types.ty().function([], []);
    types.ty().function([ValType::I32; 3], []);
    types
}

fn memories(count: u32) -> MemorySection {
    let mut memories = MemorySection::new();
    for _ in 0..count {
        memories.memory(MemoryType {
            minimum: MEMORY_PAGES,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
    }
    memories
}

/// The address of what was not allocated yet.
fn heap_top() -> GlobalSection {
    let mut globals = GlobalSection::new();
    let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    globals.global(ty, &ConstExpr::i32_const(HEAP));
    globals
}

/// Allocates, and never gives back.
fn reallocate() -> Function {
    let (alignment, size) = (2, 3);
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    // (top + alignment - 1) & -alignment
    code.global_get(0).local_get(alignment).i32_add().i32_const(1).i32_sub();
    code.i32_const(0).local_get(alignment).i32_sub().i32_and().local_tee(4);
    code.local_get(size).i32_add().global_set(0).local_get(4).end();
    function
}

/// Packages of the tests beside the contract.
const PARTS: &str = "
    package test:parts;
    interface words { shout: func(text: string) -> string; }
    world part { export words; }
    world plugin { import words; export jobs:plugin/tasks@0.1.0; }
";

static CONTRACT: LazyLock<Resolve> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").join("wit");
    let mut resolve = Resolve::default();
    resolve.push_dir(folder).expect("the contract parses");
    resolve.push_str("parts.wit", PARTS).expect("the parts parse");
    resolve
});

/// What a descriptor of a task takes in memory.
static DESCRIPTOR_BYTES: LazyLock<usize> = LazyLock::new(|| {
    let mut sizes = SizeAlign::default();
    sizes.fill(&CONTRACT);
    let (id, _) =
        CONTRACT.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("task-descriptor")).expect("it is there");
    sizes.size(&Type::Id(id)).size_wasm32()
});

/// The component around a module, for a world given as `package/world`.
fn encoded(module: Module, world: &str) -> Vec<u8> {
    let mut bytes = module.finish();
    let (package, name) = world.split_once('/').expect("a package and a world");
    let (id, _) = CONTRACT
        .worlds
        .iter()
        .find(|(_, world)| {
            let owner = world.package.map(|package| &CONTRACT.packages[package].name);
            world.name == name && owner.is_some_and(|owner| format!("{}:{}", owner.namespace, owner.name) == package)
        })
        .expect("the world is there");
    wit_component::embed_component_metadata(&mut bytes, &CONTRACT, id, StringEncoding::UTF8)
        .expect("it can be embedded");
    let mut encoder = ComponentEncoder::default();
    encoder.validate(false).module(&bytes).expect("a module");
    encoder.encode().expect("a component")
}

/// A part that gives back its text with the letters turned to capitals.
fn shouting() -> Module {
    let mut module = Module::new();
    let mut types = types();
    types.ty().function([ValType::I32; 2], [ValType::I32]);
    module.section(&types);
    let mut functions = FunctionSection::new();
    functions.function(5).function(REALLOCATES);
    module.section(&functions);
    module.section(&memories(1));
    module.section(&heap_top());
    let mut exports = ExportSection::new();
    exports.export(&format!("{WORDS}#shout"), ExportKind::Func, 0);
    exports.export("cabi_realloc", ExportKind::Func, 1);
    exports.export("memory", ExportKind::Memory, 0);
    module.section(&exports);
    let mut code = CodeSection::new();
    code.function(&shout()).function(&reallocate());
    module.section(&code);
    module
}

fn shout() -> Function {
    let (text, length, at) = (0, 1, 2);
    let byte = wasm_encoder::MemArg { offset: 0, align: 0, memory_index: 0 };
    let word = |offset| wasm_encoder::MemArg { offset, align: 2, memory_index: 0 };
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    code.local_get(text).local_set(at);
    code.block(wasm_encoder::BlockType::Empty).loop_(wasm_encoder::BlockType::Empty);
    code.local_get(at).local_get(text).local_get(length).i32_add().i32_ge_u().br_if(1);
    // A letter has the bits 0x60; quotation marks have not.
    code.local_get(at).i32_load8_u(byte).i32_const(0x60).i32_ge_u().if_(wasm_encoder::BlockType::Empty);
    code.local_get(at).local_get(at).i32_load8_u(byte).i32_const(0x20).i32_sub().i32_store8(byte).end();
    code.local_get(at).i32_const(1).i32_add().local_set(at).br(0).end().end();
    code.i32_const(RESULT).local_get(text).i32_store(word(0));
    code.i32_const(RESULT).local_get(length).i32_store(word(4));
    code.i32_const(RESULT).end();
    function
}

/// A plugin whose task returns what the other part answers to `"ping"`.
fn asking() -> Module {
    let mut plugin = Plugin::running(Function::new([]));
    plugin.document = b"\"ping\"".to_vec();
    let mut run = Function::new([]);
    // The answer, address and length, goes to where the result has its document.
    run.instructions().i32_const(DOCUMENT).i32_const(6).i32_const(RESULT + 12).call(0).i32_const(RESULT).end();

    let mut module = Module::new();
    module.section(&types());
    let mut imports = ImportSection::new();
    imports.import(WORDS, "shout", wasm_encoder::EntityType::Function(SHOUTS));
    module.section(&imports);
    let mut functions = FunctionSection::new();
    functions.function(LISTS).function(RUNS).function(REALLOCATES);
    module.section(&functions);
    module.section(&memories(1));
    module.section(&heap_top());
    let mut exports = ExportSection::new();
    exports.export(&format!("{TASKS}#list-tasks"), ExportKind::Func, 1);
    exports.export(&format!("{TASKS}#run"), ExportKind::Func, 2);
    exports.export("cabi_realloc", ExportKind::Func, 3);
    exports.export("memory", ExportKind::Memory, 0);
    module.section(&exports);
    let mut code = CodeSection::new();
    code.function(&constant(LIST)).function(&run).function(&reallocate());
    module.section(&code);
    module.section(&plugin.data());
    module
}

/// Puts `part` into the place of the import of [`WORDS`] in `plugin`, as the tools that compose components do.
fn compose(part: &[u8], plugin: &[u8]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    // What the plugin imports besides, the whole imports too: its types and imports come before everything else.
    let mut passed_on = Vec::new();
    for payload in Parser::new(0).parse_all(plugin) {
        match payload.expect("a component") {
            Payload::ComponentTypeSection(section) => {
                let data = &plugin[section.range()];
                component.section(&RawSection { id: ComponentSectionId::Type as u8, data });
            }
            Payload::ComponentImportSection(section) => {
                let data = &plugin[section.range()];
                let names: Vec<&str> = section.into_iter().map(|import| import.expect("an import").name.name).collect();
                if names != [WORDS] {
                    assert!(!names.contains(&WORDS), "an import of its own");
                    component.section(&RawSection { id: ComponentSectionId::Import as u8, data });
                    passed_on.extend(names);
                }
            }
            Payload::Version { .. } | Payload::CustomSection(_) => {}
            _ => break,
        }
    }
    for nested in [part, plugin] {
        component.section(&RawSection { id: ComponentSectionId::Component as u8, data: nested });
    }
    let imported = u32::try_from(passed_on.len()).expect("few imports");
    let mut instances = ComponentInstanceSection::new();
    instances.instantiate(0, Vec::<(&str, ComponentExportKind, u32)>::new());
    component.section(&instances);
    component.section(&alias(imported, WORDS));
    let mut arguments: Vec<(&str, ComponentExportKind, u32)> =
        (0..).zip(&passed_on).map(|(index, name)| (*name, ComponentExportKind::Instance, index)).collect();
    arguments.push((WORDS, ComponentExportKind::Instance, imported + 1));
    let mut instances = ComponentInstanceSection::new();
    instances.instantiate(1, arguments);
    component.section(&instances);
    component.section(&alias(imported + 2, TASKS));
    let mut exports = ComponentExportSection::new();
    exports.export(TASKS, ComponentExportKind::Instance, imported + 3, None);
    component.section(&exports);
    component.finish()
}

/// The instance that another instance exports under that name.
fn alias(instance: u32, name: &str) -> ComponentAliasSection {
    let mut aliases = ComponentAliasSection::new();
    aliases.alias(wasm_encoder::Alias::InstanceExport { instance, kind: ComponentExportKind::Instance, name });
    aliases
}

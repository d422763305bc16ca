//! How much work a component is for the compiler, found out by counting, before the compiler sees it.
//!
//! The compiler's time and memory grow with products: of a function's blocks and its locals, of types and what refers to them. A file
//! of a megabyte can be gigabytes of work. The caps here are five to fifty times what the largest programs have that are compiled to
//! WebAssembly (interpreters of JavaScript and Python, as `componentize-js` and `componentize-py` bring them), and each is far from where the
//! work gets out of hand. What they do not foresee is left to the limits of the process that compiles.
//!
//! Counting is one pass over the bytes. It keeps nothing, and needs no more stack than [`TYPE_MARKS_MAX`] allows.

use wasmparser::{
    ComponentType, ComponentTypeDeclaration, FunctionBody, InstanceTypeDeclaration, Operator, Parser, Payload, TypeRef,
};

use super::refusal::{Refusal as _, refused};
use crate::executor::InspectError;

/// Deepest nesting of components and modules. Each composition adds a level.
const COMPONENT_DEPTH_MAX: usize = 32;
/// Most components and modules in one. A composition has a handful for each of its parts.
const PARTS_MAX: usize = 500;
/// Most types, over all parts and with those nested in other types.
const TYPES_MAX: usize = 10_000;
/// Most bytes in one section of component types that may begin a nested type. Each level of nesting has one, so that this bounds the depth
/// of what is read by recursion.
const TYPE_MARKS_MAX: usize = 10_000;
/// Most imports, exports, instances, aliases and the like, over all parts.
const ITEMS_MAX: usize = 200_000;
/// Most functions, over all parts.
const FUNCTIONS_MAX: usize = 200_000;
/// Memories of one module. The engine can do with more, which it needs for itself: where composed parts call each other.
const MEMORIES_PER_MODULE_MAX: u64 = 1;
/// Longest function, in bytes.
const FUNCTION_BYTES_MAX: usize = 2 << 20;
/// Most blocks and branches of one function.
const BLOCKS_MAX: u64 = 100_000;
/// Deepest nesting of blocks. A `switch` is as deep as it has cases.
const BLOCK_DEPTH_MAX: u64 = 10_000;
/// Most loops of one function.
const LOOPS_MAX: u64 = 5_000;
/// Deepest nesting of loops. What is handed from round to round is handed through all the loops around.
const LOOP_DEPTH_MAX: u64 = 100;
/// Most calls of one function, of other functions and of what the engine does by calls.
const CALLS_MAX: u64 = 200_000;
/// Most of blocks times locals in one function: what is known of each local in each block.
const BLOCKS_TIMES_LOCALS_MAX: u64 = 10_000_000;
/// Most of loops times locals in one function: what is handed from round to round.
const LOOPS_TIMES_LOCALS_MAX: u64 = 250_000;

/// Refuses a component that would be too much work.
///
/// # Errors
/// It is over one of the caps, or damaged.
pub(super) fn check(component: &[u8]) -> Result<(), InspectError> {
    let mut counted = Counted::default();
    for payload in Parser::new(0).parse_all(component) {
        let counted = payload.map_err(Refusal::from).and_then(|payload| counted.add(payload, component));
        counted.map_err(|refusal| match refusal {
            Refusal::TooMuch(what) => refused("the component is too complex to be compiled here")
                .because(what)
                .hint("build it with optimisation, and without generated code of that size"),
            Refusal::Damaged(error) => refused("the component is damaged").because(error.to_string()),
        })?;
    }
    Ok(())
}

enum Refusal {
    TooMuch(String),
    Damaged(wasmparser::BinaryReaderError),
}

impl From<wasmparser::BinaryReaderError> for Refusal {
    fn from(error: wasmparser::BinaryReaderError) -> Refusal {
        Refusal::Damaged(error)
    }
}

fn at_most(what: &str, count: impl TryInto<u64>, max: impl TryInto<u64>) -> Result<(), Refusal> {
    // Beyond 64 bits is beyond every cap.
    let (count, max) = (count.try_into().unwrap_or(u64::MAX), max.try_into().unwrap_or(u64::MAX));
    if count <= max { Ok(()) } else { Err(Refusal::TooMuch(format!("it has {count} {what}, and may have {max}"))) }
}

/// What was counted so far.
#[derive(Default)]
struct Counted {
    parts: usize,
    depth: usize,
    types: usize,
    items: usize,
    functions: usize,
    /// Of the module that is being read: it cannot have another one in it.
    memories: u64,
    bodies: usize,
}

impl Counted {
    fn add(&mut self, payload: Payload<'_>, component: &[u8]) -> Result<(), Refusal> {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                (self.parts, self.depth, self.memories) = (self.parts + 1, self.depth + 1, 0);
                at_most("components and modules", self.parts, PARTS_MAX)?;
                at_most("levels of components in components", self.depth, COMPONENT_DEPTH_MAX)
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::TypeSection(section) => self.types(section.count()),
            Payload::CoreTypeSection(section) => self.types(section.count()),
            Payload::ComponentTypeSection(section) => {
                self.types(section.count())?;
                let bytes = component.get(section.range()).unwrap_or_default();
                let marks = bytes.iter().filter(|byte| matches!(byte, 0x41 | 0x42)).count();
                at_most("nested types", marks, TYPE_MARKS_MAX)?;
                section.into_iter().try_for_each(|ty| self.nested_types(&ty?))
            }
            Payload::FunctionSection(section) => {
                self.functions += section.count() as usize;
                at_most("functions", self.functions, FUNCTIONS_MAX)
            }
            Payload::ImportSection(section) => {
                self.items(section.count())?;
                for import in section.into_imports() {
                    self.items(1)?;
                    if matches!(import?.ty, TypeRef::Memory(_)) {
                        self.memories(1)?;
                    }
                }
                Ok(())
            }
            Payload::MemorySection(section) => self.memories(section.count().into()),
            Payload::CodeSectionEntry(body) => {
                self.bodies += 1;
                let number = self.bodies;
                function(&body).map_err(|refusal| match refusal {
                    Refusal::TooMuch(what) => {
                        Refusal::TooMuch(format!("function {number} at {:#x}: {what}", body.range().start))
                    }
                    damaged => damaged,
                })
            }
            Payload::TableSection(section) => self.items(section.count()),
            Payload::TagSection(section) => self.items(section.count()),
            Payload::GlobalSection(section) => self.items(section.count()),
            Payload::ExportSection(section) => self.items(section.count()),
            Payload::ElementSection(section) => self.items(section.count()),
            Payload::DataSection(section) => self.items(section.count()),
            Payload::InstanceSection(section) => self.items(section.count()),
            Payload::ComponentInstanceSection(section) => self.items(section.count()),
            Payload::ComponentAliasSection(section) => self.items(section.count()),
            Payload::ComponentCanonicalSection(section) => self.items(section.count()),
            Payload::ComponentImportSection(section) => self.items(section.count()),
            Payload::ComponentExportSection(section) => self.items(section.count()),
            _ => Ok(()),
        }
    }

    fn types(&mut self, count: u32) -> Result<(), Refusal> {
        self.types += count as usize;
        at_most("types", self.types, TYPES_MAX)
    }

    fn items(&mut self, count: u32) -> Result<(), Refusal> {
        self.items += count as usize;
        at_most("imports, exports, instances and aliases", self.items, ITEMS_MAX)
    }

    fn memories(&mut self, count: u64) -> Result<(), Refusal> {
        self.memories = self.memories.saturating_add(count);
        at_most("memories in one module", self.memories, MEMORIES_PER_MODULE_MAX)
    }

    fn nested_types(&mut self, ty: &ComponentType<'_>) -> Result<(), Refusal> {
        match ty {
            ComponentType::Component(declarations) => declarations.iter().try_for_each(|declaration| {
                self.types(1)?;
                match declaration {
                    ComponentTypeDeclaration::Type(ty) => self.nested_types(ty),
                    _ => Ok(()),
                }
            }),
            ComponentType::Instance(declarations) => declarations.iter().try_for_each(|declaration| {
                self.types(1)?;
                match declaration {
                    InstanceTypeDeclaration::Type(ty) => self.nested_types(ty),
                    _ => Ok(()),
                }
            }),
            _ => Ok(()),
        }
    }
}

fn function(body: &FunctionBody<'_>) -> Result<(), Refusal> {
    let range = body.range();
    at_most("bytes", range.end - range.start, FUNCTION_BYTES_MAX)?;
    let mut locals = 0_u64;
    for declared in body.get_locals_reader()? {
        locals = locals.saturating_add(declared?.0.into());
    }
    let (mut blocks, mut loops, mut calls) = (0_u64, 0_u64, 0_u64);
    // Of each block that is open, whether it is a loop.
    let mut open = Vec::new();
    let mut open_loops = 0_u64;
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        match operators.read()? {
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                blocks += 1;
                open.push(false);
                at_most("levels of blocks", open.len(), BLOCK_DEPTH_MAX)?;
            }
            Operator::Loop { .. } => {
                (blocks, loops, open_loops) = (blocks + 1, loops + 1, open_loops + 1);
                open.push(true);
                at_most("levels of blocks", open.len(), BLOCK_DEPTH_MAX)?;
                at_most("levels of loops", open_loops, LOOP_DEPTH_MAX)?;
            }
            Operator::End => open_loops -= u64::from(open.pop().unwrap_or(false)),
            Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } | Operator::BrTable { .. } => blocks += 1,
            Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::MemoryGrow { .. }
            | Operator::TableCopy { .. }
            | Operator::TableFill { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. } => calls += 1,
            _ => {}
        }
    }
    at_most("blocks and branches", blocks, BLOCKS_MAX)?;
    at_most("loops", loops, LOOPS_MAX)?;
    at_most("calls", calls, CALLS_MAX)?;
    at_most("loops times locals", loops.saturating_mul(locals), LOOPS_TIMES_LOCALS_MAX)?;
    at_most("blocks times locals", blocks.saturating_mul(locals), BLOCKS_TIMES_LOCALS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(component: &[u8]) -> String {
        let error = check(component).expect_err("refused");
        format!("{} | {}", error.reason, error.context.join(" | "))
    }

    /// A module with one function of this body, which has so many locals.
    fn module(locals: u32, body: &[u8]) -> Vec<u8> {
        let number = |to: &mut Vec<u8>, mut number: usize| loop {
            let low = number.to_le_bytes()[0] & 0x7f;
            number >>= 7;
            to.push(if number == 0 { low } else { low | 0x80 });
            if number == 0 {
                break;
            }
        };
        let mut function = vec![1];
        number(&mut function, locals as usize);
        function.push(0x7f);
        function.extend(body);
        function.push(0x0b);
        let mut code = vec![1];
        number(&mut code, function.len());
        code.extend(function);
        // One type of functions without parameters and results, and one function of it.
        let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
        number(&mut module, code.len());
        module.extend(code);
        module
    }

    const BLOCK: [u8; 2] = [0x02, 0x40];
    const LOOP: [u8; 2] = [0x03, 0x40];
    const END: [u8; 1] = [0x0b];

    #[test]
    fn a_function_is_let_through_up_to_each_cap_and_no_further() {
        let cap = |max: u64| usize::try_from(max).expect("a small cap");
        let blocks = |count: usize| [&BLOCK[..], &END].concat().repeat(count);
        let nested = |begin: [u8; 2], count: usize| [begin.repeat(count), END.repeat(count)].concat();
        let cases = [
            ("blocks and branches", module(1, &blocks(cap(BLOCKS_MAX))), module(1, &blocks(cap(BLOCKS_MAX) + 1))),
            (
                "levels of blocks",
                module(1, &nested(BLOCK, cap(BLOCK_DEPTH_MAX))),
                module(1, &nested(BLOCK, cap(BLOCK_DEPTH_MAX) + 1)),
            ),
            (
                "levels of loops",
                module(1, &nested(LOOP, cap(LOOP_DEPTH_MAX))),
                module(1, &nested(LOOP, cap(LOOP_DEPTH_MAX) + 1)),
            ),
            (
                "loops, and",
                module(1, &nested(LOOP, 1).repeat(cap(LOOPS_MAX))),
                module(1, &nested(LOOP, 1).repeat(cap(LOOPS_MAX) + 1)),
            ),
            ("calls", module(1, &[0x10, 0].repeat(cap(CALLS_MAX))), module(1, &[0x10, 0].repeat(cap(CALLS_MAX) + 1))),
            ("loops times locals", module(2_500, &nested(LOOP, 100)), module(2_501, &nested(LOOP, 100))),
            ("blocks times locals", module(1_000, &blocks(10_000)), module(1_001, &blocks(10_000))),
        ];
        for (what, most, more) in cases {
            check(&most).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let refusal = refusal(&more);
            assert!(refusal.contains(what) && refusal.contains("function 1 at 0x"), "{refusal}");
        }
    }

    #[test]
    fn what_is_damaged_is_said_to_be_damaged() {
        assert!(refusal(&module(1, &[0xff])).starts_with("the component is damaged"));
        let whole = module(1, &BLOCK);
        assert!(refusal(&whole[..whole.len() - 2]).starts_with("the component is damaged"));
    }
}

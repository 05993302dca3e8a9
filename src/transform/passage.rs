//! One record's way through the stages: operations, what is asked of lookups, what multiplies it, and the sink that each
//! event goes to.

use std::collections::HashSet;

use super::append::{Buffers, assemble, broken};
use super::explode::Explode;
use super::run::{Goes, Machine, find, within};
use super::{Answers, Ask, Attributes, Emitted, Progress, Question, Stage, Transform, lookup};
use crate::contract::view;
use crate::error::{Reason, RecordError};
use crate::expr::value::read;
use crate::expr::{Cx, Val};

/// What one record may explode into, in bytes of output: an array of a thousand elements repeats the rest of its record a
/// thousand times.
const EXPLODED: usize = 32 * 1024 * 1024;

/// What a record has otherwise than its source.
type Changed = Option<Box<Attributes>>;

/// A record on its way, with what has come of it so far.
pub(super) struct Passage<'r, 'a> {
    transform: &'a Transform,
    answers: &'r Answers,
    frames: &'r [Vec<u8>],
    /// What came of it so far, if it is exploded.
    outputs: Vec<Emitted>,
    questions: Vec<Question>,
    /// The same, to find them; made with the first.
    asked: Option<HashSet<Question>>,
    exploded: bool,
    size: usize,
}

impl<'r, 'a> Passage<'r, 'a> {
    pub(super) fn new(
        transform: &'a Transform,
        answers: &'r Answers,
        frames: &'r [Vec<u8>],
    ) -> Passage<'r, 'a> {
        Passage {
            transform,
            answers,
            frames,
            outputs: Vec::new(),
            questions: Vec::new(),
            asked: None,
            exploded: false,
            size: 0,
        }
    }

    /// From the first stage on: what became of the record.
    pub(super) fn run(
        mut self,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<Progress, RecordError> {
        if let Some(attributes) = self.stages(0, None, cx, buffers)? {
            return Ok(Progress::Done(self.emit(attributes, cx, buffers)?));
        }
        Ok(match () {
            () if !self.questions.is_empty() => Progress::Ask(self.questions),
            () if self.outputs.is_empty() => Progress::Filtered,
            () => Progress::Exploded(self.outputs),
        })
    }

    /// From a stage on. What it then has otherwise than the source, if it is to be emitted; nothing, if it was filtered,
    /// exploded, or has to ask.
    fn stages(
        &mut self,
        first: usize,
        attributes: Option<&Attributes>,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<Option<Changed>, RecordError> {
        let transform = self.transform;
        let mut changed: Changed = None;
        for (at, stage) in transform.stages.iter().enumerate().skip(first) {
            match stage {
                Stage::Ops(ops) => {
                    let mut machine = Machine {
                        cx,
                        origins: &transform.origins,
                        buffers,
                    };
                    if machine.run(ops)? == Goes::Filtered {
                        return Ok(None);
                    }
                }
                Stage::Assign(assign) => {
                    let own = || Box::new(attributes.cloned().unwrap_or_default());
                    assign.apply(cx, changed.get_or_insert_with(own))?;
                    buffers.charge_expression(cx)?;
                }
                Stage::Explode(explode) => {
                    let attributes = changed.as_deref().or(attributes);
                    self.explode(explode, at + 1, attributes, cx, buffers)?;
                    return Ok(None);
                }
                Stage::Lookup(ask) => {
                    if !self
                        .ask(ask, cx)
                        .map_err(|error| within(&ask.label, error))?
                    {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(changed.or_else(|| attributes.cloned().map(Box::new))))
    }

    fn explode(
        &mut self,
        explode: &'a Explode,
        next: usize,
        attributes: Option<&Attributes>,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
        let failed = |why: String| RecordError::new(Reason::TransformFailed, why);
        self.exploded = true;
        let mut one = |run: &mut Self, value: Val<'a>, cx: &mut Cx<'a>| {
            buffers.charge(cx, 0)?;
            cx.registers[explode.into as usize] = value;
            if let Some(attributes) = run.stages(next, attributes, cx, buffers)? {
                let emitted = run.emit(attributes, cx, buffers)?;
                run.outputs.push(emitted);
            }
            Ok(())
        };
        match find(cx, &explode.source)? {
            Val::Null => {}
            Val::List(items) => {
                for item in items {
                    one(self, *item, cx)?;
                }
            }
            Val::Avro(node, bytes) => {
                let broken = |_| broken();
                let mut elements =
                    view::Elements::new(cx.schema, node, bytes, 0).map_err(broken)?;
                while let Some(element) = elements.next().map_err(broken)? {
                    let (value, _) =
                        read(cx.schema, explode.element, bytes, element.start).map_err(failed)?;
                    one(self, value, cx)?;
                }
            }
            _ => return Err(broken()),
        }
        Ok(())
    }

    /// Puts the answer in its place, or notes the question: `false`.
    fn ask(&mut self, ask: &'a Ask, cx: &mut Cx<'a>) -> Result<bool, RecordError> {
        let spec = &self.transform.lookups[ask.lookup];
        let mut failed = None;
        let mut sources = ask.sources.iter();
        let text = spec.question(&mut |_| {
            let found = sources.next().map(|source| find(cx, source));
            match found {
                Some(Ok(value)) => lookup::piece(value),
                Some(Err(error)) => {
                    failed = Some(error);
                    lookup::Piece::Null
                }
                None => lookup::Piece::Null,
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let answer = match text? {
            None => spec.when_missing()?,
            Some(text) => {
                let question = Question {
                    lookup: ask.lookup,
                    text,
                };
                match self.answers.get(&question) {
                    Some(Ok(Some(bytes))) => Some(bytes.clone()),
                    Some(Ok(None)) => spec.when_missing()?,
                    Some(Err(error)) => return Err(error.clone()),
                    None => {
                        if self.asked.get_or_insert_default().insert(question.clone()) {
                            self.questions.push(question);
                        }
                        return Ok(false);
                    }
                }
            }
        };
        cx.registers[ask.into as usize] = match answer {
            None => Val::Null,
            Some(bytes) => Val::Avro(ask.node, cx.arena.alloc_slice_copy(&bytes)),
        };
        Ok(true)
    }

    fn emit(
        &mut self,
        attributes: Changed,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<Emitted, RecordError> {
        for arm in &self.transform.arms {
            if let Some(when) = &arm.when
                && !when
                    .eval_bool(cx)
                    .map_err(|error| within(&arm.label, error))?
            {
                buffers.charge_expression(cx)?;
                continue;
            }
            let frame = &self.frames[arm.sink];
            // Many small outputs of a large record must not each reserve its size.
            let likely = if self.exploded { 0 } else { cx.bytes.len() };
            let mut value = buffers.output(likely + frame.len() + 64);
            value.extend_from_slice(frame);
            assemble(
                &arm.pieces,
                cx,
                &self.transform.origins,
                buffers,
                &mut value,
            )?;
            self.size += value.len() + attributes.as_ref().map_or(0, |own| own.size());
            buffers.charge(cx, value.len())?;
            if self.exploded && self.size > EXPLODED {
                let message = format!("the record explodes into more than {EXPLODED} bytes");
                return Err(RecordError::new(Reason::TransformFailed, message));
            }
            return Ok(Emitted {
                sink: arm.sink,
                value,
                attributes,
                index: self.exploded.then_some(self.outputs.len()),
            });
        }
        unreachable!("the last arm takes what is left")
    }
}

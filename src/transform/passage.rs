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

/// A record on its way, with what has come of it so far.
pub(super) struct Passage<'r, 'a> {
    transform: &'a Transform,
    answers: &'r Answers,
    frames: &'r [Vec<u8>],
    outputs: Vec<Emitted>,
    questions: Vec<Question>,
    /// The same, to find them.
    asked: HashSet<Question>,
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
            asked: HashSet::new(),
            exploded: false,
            size: 0,
        }
    }

    /// What became of the record.
    pub(super) fn progress(self) -> Progress {
        match (self.questions.is_empty(), self.outputs.is_empty()) {
            (false, _) => Progress::Ask(self.questions),
            (true, true) => Progress::Filtered,
            (true, false) => Progress::Done(self.outputs),
        }
    }

    /// From a stage on.
    pub(super) fn from(
        &mut self,
        first: usize,
        attributes: &Attributes,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
        let transform = self.transform;
        let mut changed = None;
        for (at, stage) in transform.stages.iter().enumerate().skip(first) {
            match stage {
                Stage::Ops(ops) => {
                    let mut machine = Machine {
                        cx,
                        origins: &transform.origins,
                        buffers,
                    };
                    if machine.run(ops)? == Goes::Filtered {
                        return Ok(());
                    }
                }
                Stage::Assign(assign) => {
                    assign.apply(cx, changed.get_or_insert_with(|| attributes.clone()))?;
                    buffers.charge_expression(cx)?;
                }
                Stage::Explode(explode) => {
                    let attributes = changed.as_ref().unwrap_or(attributes);
                    return self.explode(explode, at + 1, attributes, cx, buffers);
                }
                Stage::Lookup(ask) => {
                    if !self
                        .ask(ask, cx)
                        .map_err(|error| within(&ask.label, error))?
                    {
                        return Ok(());
                    }
                }
            }
        }
        self.emit(changed.unwrap_or_else(|| attributes.clone()), cx, buffers)
    }

    fn explode(
        &mut self,
        explode: &'a Explode,
        next: usize,
        attributes: &Attributes,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
        let failed = |why: String| RecordError::new(Reason::TransformFailed, why);
        self.exploded = true;
        let mut one = |run: &mut Self, value: Val<'a>, cx: &mut Cx<'a>| {
            buffers.charge(cx, 0)?;
            cx.registers[explode.into as usize] = value;
            run.from(next, attributes, cx, buffers)
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
                        if self.asked.insert(question.clone()) {
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
        attributes: Attributes,
        cx: &mut Cx<'a>,
        buffers: &mut Buffers,
    ) -> Result<(), RecordError> {
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
            let mut value = Vec::with_capacity(likely + frame.len() + 64);
            value.extend_from_slice(frame);
            assemble(
                &arm.pieces,
                cx,
                &self.transform.origins,
                buffers,
                &mut value,
            )?;
            self.size += value.len() + attributes.size();
            buffers.charge(cx, value.len())?;
            if self.exploded && self.size > EXPLODED {
                let message = format!("the record explodes into more than {EXPLODED} bytes");
                return Err(RecordError::new(Reason::TransformFailed, message));
            }
            let index = self.exploded.then_some(self.outputs.len());
            self.outputs.push(Emitted {
                sink: arm.sink,
                value,
                attributes,
                index,
            });
            return Ok(());
        }
        unreachable!("the last arm takes what is left")
    }
}

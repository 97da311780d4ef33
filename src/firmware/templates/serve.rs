//! Answers the host's requests: takes inputs, runs the network, sends scores, ticks and layers.

use super::chip;
use super::link::{crc32, request, Message, Mode, Receiver, Request, PIECE, VERSION};
use super::network::{infer, infer_traced, Arena, Input, Prediction, CLASSES, INPUT_LEN, LAYERS};
use super::port::Port;
use super::FINGERPRINT;

// The numbers of the host's `Reply`.
const HELLO: u32 = 0;
const TAKEN: u32 = 1;
const LAYER: u32 = 2;
const TICKS: u32 = 3;
const DONE: u32 = 4;
const REFUSED: u32 = 5;

/// Most scores that go into one message with the rest.
const FEW: usize = 160;

/// Serves for ever.
pub fn serve(port: &mut Port, arena: &mut Arena, input: &mut Input) -> ! {
    let mut receiver = Receiver::new();
    let mut last = None;
    let mut stack = 0;
    chip::start_clock();
    loop {
        let Some(byte) = port.get() else { continue };
        let Some(message) = receiver.take(byte) else {
            continue;
        };
        let Some((sequence, request)) = request(message) else {
            continue;
        };
        match request {
            Request::Hello => hello(port, sequence),
            Request::Piece { offset, at, count } => {
                let from = message.get(at..at + count).unwrap_or_default();
                let to = offset
                    .checked_add(count)
                    .and_then(|end| input.get_mut(offset..end));
                let kind = if let Some(to) = to {
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = *from as _;
                    }
                    TAKEN
                } else {
                    REFUSED
                };
                last = None;
                Message::new(sequence, kind).send(|byte| port.put(byte));
            }
            Request::Run(mode) => {
                Message::new(sequence, TAKEN).send(|byte| port.put(byte));
                if stack == 0 {
                    stack = chip::stack_of(|| {
                        infer(arena, input);
                    });
                }
                let again = match last {
                    Some((done, ticks, prediction)) if done == sequence && mode == Mode::Scores => {
                        Some((ticks, prediction))
                    }
                    _ => None,
                };
                let (ticks, prediction) = match again {
                    Some(done) => done,
                    None => run(port, sequence, mode, arena, input),
                };
                last = Some((sequence, ticks, prediction));
                done(port, sequence, ticks, stack, &prediction, input);
            }
        }
    }
}

fn hello(port: &mut Port, sequence: u16) {
    let mut message = Message::new(sequence, HELLO);
    message
        .number(u32::from(VERSION))
        .bytes(FINGERPRINT.into_iter());
    for number in [INPUT_LEN, CLASSES.len(), LAYERS.len()] {
        message.number(number as u32);
    }
    message
        .number(chip::stack_room())
        .send(|byte| port.put(byte));
}

/// One inference; its ticks and what it says.
fn run(
    port: &mut Port,
    sequence: u16,
    mode: Mode,
    arena: &mut Arena,
    input: &Input,
) -> (u32, Prediction) {
    let start = chip::clock();
    if mode == Mode::Scores {
        let prediction = infer(arena, input);
        return (chip::clock().wrapping_sub(start), prediction);
    }
    let mut sum = 0_u32;
    let mut before = chip::clock();
    let prediction = infer_traced(arena, input, &mut |layer, output| {
        let ticks = chip::clock().wrapping_sub(before);
        sum = sum.saturating_add(ticks);
        if mode == Mode::Ticks {
            let mut message = Message::new(sequence, TICKS);
            message
                .number(layer as u32)
                .number(ticks)
                .send(|byte| port.put(byte));
        } else {
            tensor(port, sequence, layer, output);
        }
        before = chip::clock();
    });
    (sum, prediction)
}

fn done(
    port: &mut Port,
    sequence: u16,
    ticks: u32,
    stack: u32,
    prediction: &Prediction,
    input: &Input,
) {
    let crc = input
        .iter()
        .fold(0, |crc, &value| crc32(crc, &[value as u8]));
    let mut message = Message::new(sequence, DONE);
    message.number(prediction.class as u32);
    message.number(ticks).number(stack).number(crc);
    // Of many classes the scores have gone ahead, as one more layer.
    let scores = prediction.scores.iter().map(|&score| score as u8);
    if scores.len() <= FEW {
        message.bytes(scores);
    } else {
        message.number(0);
        tensor(port, sequence, LAYERS.len(), &prediction.scores);
    }
    message.send(|byte| port.put(byte));
}

/// Sends a tensor in pieces; of one that is never whole an empty one.
fn tensor(port: &mut Port, sequence: u16, layer: usize, values: &[i8]) {
    for index in 0..values.len().div_ceil(PIECE).max(1) {
        let piece = values.chunks(PIECE).nth(index).unwrap_or_default();
        let mut message = Message::new(sequence, LAYER);
        message.number(layer as u32).number((index * PIECE) as u32);
        message.bytes(piece.iter().map(|&value| value as u8));
        message.send(|byte| port.put(byte));
    }
}

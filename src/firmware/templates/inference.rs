//! The inference as an async function: other tasks run after every layer.

use embassy_executor::{Executor, Spawner};
use embassy_futures::yield_now;

use super::chip;
use super::network::{Arena, Input, Prediction, Run};

/// What the layers of one inference took, of the chip's clock.
#[derive(Default)]
pub struct Ticks {
    /// All together.
    pub sum: u32,
    /// The longest: no other task waits for more than that.
    pub longest: u32,
}

/// One inference.
pub async fn infer(arena: &mut Arena, input: &Input) -> (Prediction, Ticks) {
    let mut run = Run::new(arena, input);
    let mut ticks = Ticks::default();
    loop {
        let before = chip::clock();
        let more = run.step();
        let took = chip::clock().wrapping_sub(before);
        ticks.sum = ticks.sum.wrapping_add(took);
        ticks.longest = ticks.longest.max(took);
        if !more {
            return (run.finish(), ticks);
        }
        others().await;
    }
}

/// Lets every task that is ready have a turn.
///
/// The executor goes round by round, each round in the reverse order of the wake-ups before it: after one yield this
/// task might be next again, between two lies a whole round.
async fn others() {
    yield_now().await;
    yield_now().await;
}

/// Bytes of stack that an inference takes at most, from painted memory; nothing else runs in the meantime.
pub fn stack(arena: &mut Arena, input: &Input) -> u32 {
    let mut run = Run::new(arena, input);
    let (mut more, mut most) = (true, 0);
    while more {
        most = chip::stack_of(|| more = run.step()).max(most);
    }
    most
}

/// Runs the tasks that `spawn` starts, for ever.
pub fn execute(spawn: impl FnOnce(Spawner)) -> ! {
    let mut executor = Executor::new();
    // SAFETY: `run` never returns, so the executor lives as long as the program.
    let executor: &'static mut Executor = unsafe { &mut *core::ptr::addr_of_mut!(executor) };
    executor.run(spawn)
}

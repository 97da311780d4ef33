"""Time that PyTorch takes for the gradients that `fratc attribute` takes: CPU seconds of one thread, or images per second.

    python torch_gradients.py MODEL.onnx INPUTS.f32 [--batch 16] [--device cpu|cuda]

INPUTS.f32 is what the bench test writes (tests/it/bench.rs): normalised inputs, float32, [samples, C, H, W] of the model's
input, with one int32 class each in INPUTS.f32.classes. Prints the time and a checksum to compare with the test's.
Needs torch, numpy and onnx.
"""

import argparse
import time

import torch
from torch_network import Network

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("inputs")
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--device", default="cpu")
arguments = parser.parse_args()
device = torch.device(arguments.device)
network = Network(arguments.model, device)


def gradients(x, classes):
    """The sum over all maps of positive gradient times activation, for each class's logit less the largest other."""
    logits, taps = network.run(x.requires_grad_())
    own = logits.gather(1, classes[:, None])
    others = logits.scatter(1, classes[:, None], -float("inf")).max(1).values
    total = torch.zeros((), dtype=torch.float64, device=device)
    for g, tap in zip(torch.autograd.grad((own[:, 0] - others).sum(), taps), taps):
        total += (g.clamp(min=0) * tap.abs()).sum((0, 2, 3) if g.dim() == 4 else 0).double().sum()
    return total


def main():
    inputs, classes = network.samples(arguments.inputs)
    batch, cpu = arguments.batch, device.type == "cpu"
    clock = time.process_time if cpu else time.perf_counter
    for warm in (True, False):
        start = clock()
        total = 0.0
        for i in range(0, batch if warm else len(inputs), batch):
            total += gradients(inputs[i:i + batch].clone().to(device), classes[i:i + batch].to(device))
        total = total.item()
        seconds = clock() - start
    measured = f"{seconds:.3f} CPU seconds" if cpu else f"{len(inputs) / seconds:.1f} images/s"
    print(f"torch {torch.__version__} on {device}: {len(inputs)} samples, {measured}, checksum {total:.6e}")


main()

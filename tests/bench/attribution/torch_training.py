"""CPU seconds of one thread that PyTorch takes for one epoch of gradient descent with momentum toward labels.

    python torch_training.py MODEL.onnx INPUTS.f32 [--batch 32]

The files are those of torch_gradients.py. Prints the time and the mean loss over the samples as they were met, of weights
that hardly move (the rate is tiny), to compare with the test's. Needs torch, numpy and onnx.
"""

import argparse
import time

import torch
import torch.nn.functional as F
from torch_network import Network

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("inputs")
parser.add_argument("--batch", type=int, default=32)
arguments = parser.parse_args()
network = Network(arguments.model, torch.device("cpu"))


def main():
    inputs, classes = network.samples(arguments.inputs)
    weights = [weight.requires_grad_() for weight in network.parameters().values()]
    descent = torch.optim.SGD(weights, lr=1e-9, momentum=0.9, weight_decay=1e-4)
    for warm in (True, False):
        start, total = time.process_time(), 0.0
        for i in range(0, arguments.batch if warm else len(inputs), arguments.batch):
            descent.zero_grad()
            logits, _ = network.run(inputs[i:i + arguments.batch])
            loss = F.cross_entropy(logits, classes[i:i + arguments.batch])
            loss.backward()
            descent.step()
            total += loss.item() * len(logits)
        seconds = time.process_time() - start
    print(f"torch {torch.__version__}: {len(inputs)} samples, {seconds:.3f} CPU seconds, loss {total / len(inputs):.6f}")


main()

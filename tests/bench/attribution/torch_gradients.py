"""Time that PyTorch takes for the gradients that `fratc attribute` takes: CPU seconds of one thread, or images per second.

    python torch_gradients.py MODEL.onnx INPUTS.f32 [--batch 16] [--device cpu|cuda]

INPUTS.f32 is what the bench test writes (tests/it/bench.rs): normalised inputs, float32, [samples, C, H, W] of the model's
input, with one int32 class each in INPUTS.f32.classes. Prints the time and a checksum to compare with the test's.
Needs torch, numpy and onnx.
"""

import argparse
import time

import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("inputs")
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--device", default="cpu")
arguments = parser.parse_args()

torch.set_num_threads(1)
device = torch.device(arguments.device)
# Plain float32, as in fratc.
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cudnn.benchmark = True
model = onnx.load(arguments.model)
shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()).to(device) for t in model.graph.initializer}
nodes = []
for node in model.graph.node:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Constant":
        constants[node.output[0]] = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy()).to(device)
    else:
        nodes.append((node.op_type, list(node.input), node.output[0], attributes))


def padded(x, pads, value=0.0):
    """The tensor with ONNX pads [top, left, bottom, right] that PyTorch's own argument cannot express."""
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value)


def run(x):
    """The logits, and the results of all activations."""
    values, taps = dict(constants), []
    values[model.graph.input[0].name] = x
    for op, inputs, output, a in nodes:
        v = [values.get(i) for i in inputs]
        pads = a.get("pads", [0, 0, 0, 0])
        even = pads[:2] == pads[2:]
        if op == "Conv":
            y = F.conv2d(v[0] if even else padded(v[0], pads), v[1], v[2] if len(v) > 2 else None,
                         a.get("strides", 1), pads[:2] if even else 0, a.get("dilations", 1), a.get("group", 1))
        elif op == "BatchNormalization":
            y = F.batch_norm(v[0], v[3], v[4], v[1], v[2], False, 0.0, a.get("epsilon", 1e-5))
        elif op == "Relu":
            y = F.relu(v[0])
            taps.append(y)
        elif op == "Clip":
            y = v[0].clamp(v[1].item(), v[2].item())
            taps.append(y)
        elif op == "Add":
            y = v[0] + v[1]
        elif op == "MaxPool":
            y = F.max_pool2d(v[0] if even else padded(v[0], pads, -float("inf")), a["kernel_shape"],
                             a.get("strides", 1), pads[:2] if even else 0)
        elif op == "AveragePool":
            if not even:
                raise SystemExit("this script does not know average pooling with uneven borders")
            y = F.avg_pool2d(v[0], a["kernel_shape"], a.get("strides", 1), pads[:2],
                             count_include_pad=bool(a.get("count_include_pad", 0)))
        elif op == "GlobalAveragePool":
            y = v[0].mean((2, 3), keepdim=True)
        elif op == "Flatten":
            y = v[0].flatten(1)
        elif op == "Unsqueeze":
            y = v[0][:, :, None, None]
        elif op == "Concat":
            y = torch.cat(v, a["axis"])
        elif op == "Gemm":
            y = F.linear(v[0], v[1] if a.get("transB") else v[1].t(), v[2])
        elif op in ("Identity", "Softmax"):
            # The gradient is of the logits: a softmax at the end is left out.
            y = v[0]
        else:
            raise SystemExit(f"this script does not know {op}")
        values[output] = y
    return values[model.graph.output[0].name], taps


def gradients(x, classes):
    """The sum over all maps of positive gradient times activation, for each class's logit less the largest other."""
    logits, taps = run(x.requires_grad_())
    own = logits.gather(1, classes[:, None])
    others = logits.scatter(1, classes[:, None], -float("inf")).max(1).values
    total = torch.zeros((), dtype=torch.float64, device=device)
    for g, tap in zip(torch.autograd.grad((own[:, 0] - others).sum(), taps), taps):
        total += (g.clamp(min=0) * tap.abs()).sum((0, 2, 3) if g.dim() == 4 else 0).double().sum()
    return total


def main():
    inputs = torch.from_numpy(numpy.fromfile(arguments.inputs, numpy.float32).reshape(-1, *shape))
    classes = torch.from_numpy(numpy.fromfile(arguments.inputs + ".classes", numpy.int32)).long()
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

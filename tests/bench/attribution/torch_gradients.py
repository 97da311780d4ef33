"""CPU seconds that PyTorch takes for the gradients that `fratc attribute` takes, one thread.

    python torch_gradients.py MODEL.onnx INPUTS.f32 [batch]

INPUTS.f32 is what the bench test writes: normalised inputs, float32, [samples, C, H, W] of the model's input, with
one int32 class each in INPUTS.f32.classes. Prints CPU seconds and a checksum to compare with the test's.
Needs torch, numpy and onnx.
"""

import sys
import time

import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

torch.set_num_threads(1)
model = onnx.load(sys.argv[1])
shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer}
nodes = []
for node in model.graph.node:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Constant":
        constants[node.output[0]] = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
    else:
        nodes.append((node.op_type, list(node.input), node.output[0], attributes))


def padded(x, pads, value=0.0):
    """The tensor with ONNX pads [top, left, bottom, right] that PyTorch's own argument cannot express."""
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value)


def run(x):
    """Every tensor, and the results of all Relu nodes."""
    values, taps = dict(constants), []
    values[model.graph.input[0].name] = x
    for op, inputs, output, a in nodes:
        v = [values.get(i) for i in inputs]
        if op == "Conv":
            pads = a.get("pads", [0, 0, 0, 0])
            even = pads[:2] == pads[2:]
            y = F.conv2d(v[0] if even else padded(v[0], pads), v[1], v[2] if len(v) > 2 else None,
                         a.get("strides", 1), pads[:2] if even else 0, a.get("dilations", 1), a.get("group", 1))
        elif op == "BatchNormalization":
            y = F.batch_norm(v[0], v[3], v[4], v[1], v[2], False, 0.0, a.get("epsilon", 1e-5))
        elif op == "Relu":
            y = F.relu(v[0])
            taps.append(y)
        elif op == "MaxPool":
            pads = a.get("pads", [0, 0, 0, 0])
            even = pads[:2] == pads[2:]
            y = F.max_pool2d(v[0] if even else padded(v[0], pads, -float("inf")), a["kernel_shape"],
                             a.get("strides", 1), pads[:2] if even else 0)
        elif op == "GlobalAveragePool":
            y = v[0].mean((2, 3), keepdim=True)
        elif op == "Flatten":
            y = v[0].flatten(1)
        elif op == "Concat":
            y = torch.cat(v, a["axis"])
        elif op == "Gemm":
            y = F.linear(v[0], v[1] if a.get("transB") else v[1].t(), v[2])
        elif op == "Identity":
            y = v[0]
        else:
            raise SystemExit(f"this script does not know {op}")
        values[output] = y
    return values[model.graph.output[0].name], taps


def main():
    batch = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    inputs = torch.from_numpy(numpy.fromfile(sys.argv[2], numpy.float32).reshape(-1, *shape))
    classes = torch.from_numpy(numpy.fromfile(sys.argv[2] + ".classes", numpy.int32)).long()
    for warm in (True, False):
        start = time.process_time()
        total = 0.0
        for i in range(0, batch if warm else len(inputs), batch):
            x = inputs[i:i + batch].clone().requires_grad_()
            logits, taps = run(x)
            own = logits.gather(1, classes[i:i + batch, None])
            others = logits.scatter(1, classes[i:i + batch, None], -float("inf")).max(1).values
            for g, tap in zip(torch.autograd.grad((own[:, 0] - others).sum(), taps), taps):
                total += (g.clamp(min=0) * tap).sum((0, 2, 3) if g.dim() == 4 else 0).double().sum().item()
        seconds = time.process_time() - start
    print(f"torch {torch.__version__}: {len(inputs)} samples, {seconds:.3f} CPU seconds, checksum {total:.6e}")


main()

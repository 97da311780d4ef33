"""An ONNX network of the operators that fratc writes, as a PyTorch function. Needs torch, numpy and onnx."""

import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper


def padded(x, pads, value=0.0):
    """The tensor with ONNX pads [top, left, bottom, right] that PyTorch's own argument cannot express."""
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value)


class Network:
    """Constants on a device, and the nodes in their order. One thread; plain float32, as in fratc."""

    def __init__(self, path, device):
        torch.set_num_threads(1)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
        model = onnx.load(path)
        self.input, self.output = model.graph.input[0].name, model.graph.output[0].name
        self.shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
        self.constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()).to(device)
                          for t in model.graph.initializer}
        self.nodes = []
        for node in model.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                value = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy()).to(device)
                self.constants[node.output[0]] = value
            else:
                self.nodes.append((node.op_type, list(node.input), node.output[0], attributes))

    def parameters(self):
        """Weights and biases of convolutions and dense layers, by name."""
        names = [name for op, inputs, _, _ in self.nodes if op in ("Conv", "Gemm") for name in inputs[1:]]
        return {name: self.constants[name] for name in names}

    def samples(self, path):
        """What the bench test writes: inputs [samples, C, H, W], and one class each."""
        inputs = torch.from_numpy(numpy.fromfile(path, numpy.float32).reshape(-1, *self.shape))
        return inputs, torch.from_numpy(numpy.fromfile(path + ".classes", numpy.int32)).long()

    def run(self, x):
        """The logits, and the results of all activations."""
        values, taps = dict(self.constants), []
        values[self.input] = x
        for op, inputs, output, a in self.nodes:
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
        return values[self.output], taps

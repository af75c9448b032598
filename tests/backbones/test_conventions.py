"""The networks do what users of diffusers, peft and accelerate expect: copies, casts, offloading, LoRA."""

import copy
import io
import pickle
import threading
from dataclasses import replace

import accelerate
import peft
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0
from models import small_model, some_conditions

from actalker.backbones import ControlUNet
from actalker.backbones.attach import cross_attentions
from actalker.codecs import PixelUnshuffle
from actalker.control.conditions import Conditions
from actalker.errors import InputError


def model_of(kind="plain"):
    """plain; adapters: signals in attention too; conv: the form `ssd` behind a convolution."""
    branch = {"expand": 0.5, "state_size": 4, "conv": 4, "form": "ssd", "head_size": 16}
    more = {"adapters": {"adapters": True}, "conv": {"branch": branch}}
    model = small_model(denoiser_args=more.get(kind, {}))
    for name, weight in model.network.named_parameters():
        if "to_v_ip" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def noisy(f=4):
    return torch.randn(1, f, 192, 8, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def output(model, network=None, dtype=torch.float32):
    conditions = some_conditions(model)
    return (network or model.network)(noisy().to(dtype), torch.zeros(1), conditions).sample


def error(found, expected):
    return ((found.float() - expected).abs().max() / expected.abs().max()).item()


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_torch_save(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def averaged(model):
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(model)
    return average.module


@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle, through_torch_save, averaged])
def test_a_copy_runs_on_its_own(copied):
    model = model_of("adapters")
    expected = output(model)
    other = copied(model).requires_grad_(True)
    assert torch.equal(output(other), expected)
    other.network(noisy(), torch.zeros(1), some_conditions(other)).sample.square().mean().backward()
    torch.optim.SGD(other.network.parameters(), 1.0).step()
    assert not torch.allclose(output(other), expected, atol=0.01)
    assert torch.equal(output(model), expected)
    assert all(weight.grad is None for weight in model.parameters())
    found = {}
    pairs = {"model": model, "other": other}
    alone = {name: output(one) for name, one in pairs.items()}
    work = [
        threading.Thread(target=lambda n=name, m=one: found.update({n: output(m)}))
        for name, one in pairs.items()
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert all(torch.equal(found[name], alone[name]) for name in pairs)


def test_gradient_checkpointing_survives_a_copy():
    model = model_of()
    model.network.enable_gradient_checkpointing()
    other = through_pickle(model).requires_grad_(True)
    other.network.train()
    other.network(noisy(), torch.zeros(1), some_conditions(other)).sample.sum().backward()
    assert other.network.control[0].branches["audio"].scan.select[0].weight.grad.any()


def test_a_layer_outside_a_pass_says_so_also_in_a_copy():
    other = copy.deepcopy(model_of())
    with pytest.raises(RuntimeError, match="outside its network's forward"):
        other.network.conv_in(torch.zeros(1, 384, 8, 8))


def test_it_gives_a_tuple_or_a_sample():
    model = model_of()
    named = model.network(noisy(), torch.zeros(1), some_conditions(model))
    given = model.network(noisy(), torch.zeros(1), some_conditions(model), return_dict=False)
    assert type(given) is tuple and torch.equal(given[0], named.sample)
    assert named.sample is named.output
    assert len(given) == 1 and named.states is None


def test_conditions_that_lack_something_are_named():
    model = model_of()
    told = some_conditions(model)
    part = Conditions(told.tokens, told.regions, told.gates)
    with pytest.raises(InputError, match=r"without references\['portrait'\], maps\['face'\], .*'fps'"):
        model.network(noisy(), torch.zeros(1), part)


def test_conditions_may_be_more_precise_than_the_network():
    model = model_of("adapters")
    expected = output(model)
    model.network.to(torch.bfloat16)
    found = output(model, dtype=torch.bfloat16)
    assert found.dtype == torch.bfloat16 and error(found, expected) < 0.05


@pytest.mark.parametrize("storage, kind", [(torch.bfloat16, "plain"), (torch.float8_e4m3fn, "conv")])
def test_weights_are_stored_in_few_bits_and_cast_layer_by_layer(storage, kind):
    model = model_of(kind)
    rounded = copy.deepcopy(model)
    model.network.enable_layerwise_casting(storage_dtype=storage, compute_dtype=torch.float32)
    stored = dict(model.network.named_parameters())
    layers = [name for name in stored if ".select." in name]
    assert layers and all(stored[name].dtype == storage for name in layers)
    with torch.no_grad():  # the same weights, rounded by hand
        for name, weight in rounded.network.named_parameters():
            weight.copy_(stored[name].float())
    torch.testing.assert_close(output(model), output(rounded), rtol=1e-4, atol=1e-4)
    model.network.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.network(noisy(), torch.zeros(1), some_conditions(model)).sample.float().square().mean()
    loss.backward()
    assert all(stored[name].grad.float().any() for name in layers if "weight" in name)


@pytest.mark.parametrize(
    "way", ["cpu", pytest.param("disk", marks=pytest.mark.slow), "model", "group", "hook"]
)
def test_weights_may_wait_elsewhere(way, tmp_path):
    model, here = model_of("conv"), torch.device("cpu")
    expected = output(model)
    if way == "cpu":
        accelerate.cpu_offload(model.network, here, offload_buffers=True)
    elif way == "disk":
        accelerate.disk_offload(model.network, tmp_path, here)
    elif way == "model":
        accelerate.cpu_offload(model, here)
    elif way == "group":
        model.network.enable_group_offload(onload_device=here, offload_type="leaf_level", offload_device=here)
    else:
        accelerate.cpu_offload_with_hook(model.network, here)
    if way in ("cpu", "disk", "model"):
        assert all(weight.is_meta for weight in model.network.parameters())
        assert model.device == here
    torch.testing.assert_close(output(model), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_dynamic_quantisation_reaches_the_scan():
    model = model_of()
    quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    for layer in (
        *quantised.network.control[0].branches["audio"].scan.select,
        quantised.network.time_embedding.linear_1,
    ):
        assert isinstance(layer, torch.ao.nn.quantized.dynamic.Linear)
    assert 1e-4 < error(output(quantised), output(model)) < 0.1
    bytes, timing = torch.zeros(1, 2, 64, dtype=torch.int64), torch.zeros(1, 4, 1, 4)
    bytes[..., :9] = torch.arange(70, 79)
    text, plain = quantised.encoders["text"](bytes, timing), model.encoders["text"](bytes, timing)
    assert error(text, plain) < 0.1


def test_lora_trains_every_layer_it_is_put_on():
    model = model_of("conv")
    kinds = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d)
    names = [name for name, layer in model.network.named_modules() if isinstance(layer, kinds)]
    settings = peft.LoraConfig(r=2, target_modules=names, init_lora_weights=False)
    expected = output(model)
    peft.inject_adapter_in_model(settings, model.network)
    assert error(output(model), expected) > 0.01
    model.network(noisy(), torch.zeros(1), some_conditions(model)).sample.square().mean().backward()
    added = {n: w for n, w in model.network.named_parameters() if ".lora_" in n}
    assert len(added) == 2 * len(names) and any(".select." in name for name in added)
    assert not [name for name, weight in added.items() if weight.grad is None or not weight.grad.any()]


@pytest.mark.parametrize("where", ["select", "step"])
def test_what_is_changed_in_a_layer_is_heard(where):
    """Hooks, parametrisations and foreign tensors: none is passed by."""
    model = model_of()
    layer = model.network.control[0].branches["audio"].scan.get_submodule(f"{where}.0")
    plain = output(model)
    calls = []
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    hooked = output(model)
    handle.remove()
    assert calls and error(hooked, plain) < 1e-5
    torch.nn.utils.parametrizations.weight_norm(layer)
    assert error(output(model), plain) < 1e-5
    layer.parametrizations.weight.original0.mul_(3)
    assert error(output(model), plain) > 1e-3


class Tripled(torch.Tensor):
    """A weight of a class of its own, as quantisation by tensors has: its products are tripled."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        made = super().__torch_function__(function, types, args, kwargs)
        return 3 * made.as_subclass(torch.Tensor) if function is torch.nn.functional.linear else made


@pytest.mark.parametrize("where", ["select", "step"])
def test_weights_of_another_class_are_heard(where):
    model = model_of()
    layer = model.network.control[0].branches["audio"].scan.get_submodule(f"{where}.0")
    by_hand = copy.deepcopy(model)
    same = by_hand.network.control[0].branches["audio"].scan.get_submodule(f"{where}.0")
    layer.weight = torch.nn.Parameter(layer.weight.detach().as_subclass(Tripled), requires_grad=False)
    for value in same.parameters():
        value.mul_(3)
    assert type(layer.weight) is Tripled
    torch.testing.assert_close(output(model), output(by_hand), rtol=1e-4, atol=1e-5)


def test_weights_of_signals_are_not_dropped_with_attention_processors():
    network = model_of("adapters").network
    held = dict(network.attn_processors)
    count = len(cross_attentions(network))
    plain = {name: AttnProcessor2_0() for name in held}
    for change in (
        lambda: network.set_attn_processor(AttnProcessor2_0()),
        lambda: network.set_attn_processor(plain),
        network.set_default_attn_processor,
        network.enable_xformers_memory_efficient_attention,
    ):
        with pytest.raises(InputError, match=f"{count} attention processors hold weights of signals"):
            change()
        assert network.attn_processors == held
    kept = {name: plain[name] if isinstance(p, AttnProcessor2_0) else p for name, p in held.items()}
    network.set_attn_processor(dict(kept))
    assert network.attn_processors == kept
    model_of().network.set_attn_processor(AttnProcessor2_0())  # one without such weights


@pytest.mark.parametrize(
    "saving, low",
    [({}, True), ({"variant": "fp16"}, False), ({"variant": "fp16", "max_shard_size": "800KB"}, True)],
)
def test_saved_and_loaded_as_diffusers_does(saving, low, tmp_path):
    model = model_of("adapters")
    model.network.save_pretrained(tmp_path, **saving)
    assert ("max_shard_size" in saving) == (len(list(tmp_path.glob("*-of-*.safetensors"))) > 1)
    variant = {"variant": saving["variant"]} if "variant" in saving else {}
    again = ControlUNet.from_pretrained(tmp_path, low_cpu_mem_usage=low, **variant)
    torch.testing.assert_close(output(model, again), output(model), rtol=1e-5, atol=1e-5)


def test_loaded_in_half_precision(tmp_path):
    class Careful(ControlUNet):
        _keep_in_fp32_modules = ["log_decay", "step_bias"]

    model = model_of()
    model.network.save_pretrained(tmp_path)
    for kind, dtype in ((ControlUNet, torch.float16), (Careful, torch.bfloat16)):
        half = kind.from_pretrained(tmp_path, torch_dtype=dtype)
        kept = [w.dtype for n, w in half.named_parameters() if n.endswith(("log_decay", "step_bias"))]
        assert (
            set(kept) == {torch.float32 if kind is Careful else dtype} and half.conv_in.weight.dtype == dtype
        )
        assert error(output(model, half, dtype), output(model)) < 0.05


def test_the_codec_without_weights_is_saved_and_loaded(tmp_path):
    PixelUnshuffle(4).save_pretrained(tmp_path / "codec")
    codec = PixelUnshuffle.from_pretrained(tmp_path, subfolder="codec", torch_dtype=torch.bfloat16)
    assert (codec.stride, codec.dtype, codec.num_parameters()) == ((1, 4, 4), torch.bfloat16, 0)
    assert not codec.state_dict()


def test_weights_that_are_passed_in_are_used():
    model = model_of()
    weights = {name: 1.1 * weight for name, weight in model.network.state_dict().items()}
    call = (noisy(), torch.zeros(1), some_conditions(model))
    found = torch.func.functional_call(model.network, weights, call).sample
    changed = copy.deepcopy(model)
    changed.network.load_state_dict(weights)
    torch.testing.assert_close(found, output(changed), rtol=1e-5, atol=1e-5)
    with torch.device("meta"):
        empty = ControlUNet(**model.network.config)
    empty.load_state_dict(weights, assign=True)
    torch.testing.assert_close(output(model, empty.eval()), found, rtol=1e-5, atol=1e-5)


def test_inputs_may_lie_in_memory_as_they_like():
    model = model_of()
    told = some_conditions(model)

    def turned(t):
        return t.transpose(0, -1).contiguous().transpose(0, -1)

    names = ("tokens", "regions", "gates", "references", "maps", "scalars")
    many = {name: {k: turned(t) for k, t in getattr(told, name).items()} for name in names}
    other = replace(told, **many, identity=turned(told.identity))
    found = model.network(turned(noisy()), torch.zeros(1), other).sample
    torch.testing.assert_close(found, output(model), rtol=1e-4, atol=1e-5)

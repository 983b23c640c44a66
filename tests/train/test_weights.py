"""Weights and optimiser states by name, strictly."""

import pytest
import torch
from torch import nn

from ossicle.errors import CheckpointError
from ossicle.train.weights import SAMPLED, dump_optimizer, fingerprint, load_named, load_optimizer


def stepped(n: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(
        [{"params": [module.weight], "scale": 0.5}, {"params": [module.bias], "scale": 1.0}], lr=0.1, fused=True
    )
    for _ in range(n):
        module(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return module, optimizer


def test_an_optimizer_goes_on_exactly_where_another_stopped() -> None:
    module, optimizer = stepped(3)
    dumped = {name: value.clone() for name, value in dump_optimizer(optimizer).items()}
    assert set(dumped) == {f"{i}.{key}" for i in (0, 1) for key in ("step", "exp_avg", "exp_avg_sq")}
    other, fresh = stepped(0)
    load_named(dict(other.named_parameters()), dict(module.named_parameters()))
    load_optimizer(fresh, dumped)
    assert [group["scale"] for group in fresh.param_groups] == [0.5, 1.0]
    for one, one_optimizer in ((module, optimizer), (other, fresh)):
        one(torch.ones(1, 3)).sum().backward()
        one_optimizer.step()
    assert torch.equal(module.weight, other.weight) and torch.equal(module.bias, other.bias)


def test_weights_are_copied_strictly() -> None:
    ours = {"a": torch.zeros(2), "b": torch.zeros(3)}
    load_named(ours, {"a": torch.ones(2), "b": torch.arange(3.0)})
    assert ours["a"].tolist() == [1, 1] and ours["b"].tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError, match="the checkpoint does not fit the model: b, c") as caught:
        load_named(ours, {"a": torch.ones(2), "c": torch.ones(3)})
    assert caught.value.code == "key_mismatch"
    with pytest.raises(CheckpointError, match="the checkpoint does not fit the model: other shapes of b") as caught:
        load_named(ours, {"a": torch.zeros(2), "b": torch.ones(1)})  # which a plain copy would broadcast
    assert caught.value.code == "key_mismatch"
    assert ours["a"].tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_a_fingerprint_is_of_the_weights(dtype: torch.dtype) -> None:
    module = nn.Module()
    module.register_buffer("small", torch.arange(6, dtype=dtype).reshape(2, 3))
    module.register_buffer("large", torch.ones(3, SAMPLED, dtype=dtype))
    module.register_buffer("empty", torch.empty(0, dtype=dtype))
    found = [fingerprint(module)]
    assert fingerprint(module) == found[0]
    for name, change in (("small", slice(5, 6)), ("large", slice(0, 1)), ("large", slice(None))):
        module.get_buffer(name).view(-1)[change] += 1
        found.append(fingerprint(module))
    module.small = module.small.reshape(3, 2)
    assert len({*found, fingerprint(module)}) == 5

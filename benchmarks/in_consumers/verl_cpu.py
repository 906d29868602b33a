"""verl's SFT trainer on a CPU: it knows accelerators alone, but lets a platform be added.

The tokens of every row are kept in $TOKENS, and the trainer goes on with what it was given.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import distributed
from verl.plugin.platform.platform_cuda import PlatformCUDA
from verl.plugin.platform.platform_manager import PlatformRegistry

NOTHING = ("empty_cache", "set_device", "reset_peak_memory_stats")
ZERO = ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved")


def here(*_):
    return "cpu"


def device_module():
    module = SimpleNamespace(**{n: getattr(torch.cpu, n) for n in torch.cpu.__all__})
    for names, value in ((NOTHING, None), (ZERO, 0)):
        for name in names:
            setattr(module, name, lambda *_, value=value: value)
    module.current_device = module.get_device_name = here
    module.mem_get_info = lambda *_: (0, 0)
    module.manual_seed = module.manual_seed_all = torch.manual_seed
    module.get_rng_state = lambda *_: torch.get_rng_state()
    module.set_rng_state = lambda state, *_: torch.set_rng_state(state)
    return module


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformCUDA):
    device_name = vendor_name = "cpu"
    device_module = device_module()
    current_device = here

    def is_available(self):
        return True

    def set_device(self, device_index):
        pass

    def manual_seed(self, seed):
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def empty_cache(self):
        pass

    def communication_backend_name(self):
        return "gloo"


start = distributed.init_process_group


def start_once(backend=None, *, device_id=None, **others):
    return start(backend="gloo", **others)  # it would name the CPU twice


distributed.init_process_group = start_once
from verl.trainer import sft_trainer  # noqa: E402

make = sft_trainer.create_sft_dataset


def kept(*args, **kwargs):
    rows = make(*args, **kwargs)
    with Path(os.environ["TOKENS"]).open("w", encoding="utf-8") as file:
        for at in range(len(rows)):
            ids, mask = (rows[at][name].tolist() for name in ("input_ids", "loss_mask"))
            labels = [token if on else -100 for token, on in zip(ids, mask, strict=True)]
            file.write(json.dumps({"input_ids": ids, "labels": labels}) + "\n")
    return rows


sft_trainer.create_sft_dataset = kept
sft_trainer.main()

"""The section of each step, and those of spaces and strategies, refuse what no run can have; each by its key's name."""

import dataclasses
from pathlib import Path

import pytest

from nasir.config import reading
from nasir.settings import SECTIONS as CLASSES
from nasir.settings import Settings, resolve

ROOT = Path(__file__).parents[2]
PARAMS = reading.read(ROOT / "params.yaml")
BY = {name: Settings(resolve(PARAMS, ROOT / "profiles", name), name) for name in ("darts", "random", "one_shot", "rl")}
SECTIONS = {name: BY["darts"].section(name, cls) for name, cls in CLASSES.items()} | {
    "space": BY["darts"].of_space,
    "network": BY["darts"].of_network,
    **{name: by.of_strategy for name, by in BY.items()},
}


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("download", "attempts", 0, "download.attempts must be 1 or more and at most 12, got 0"),
        ("download", "timeout", 0.0, "download.timeout must be above 0 seconds"),
        ("pair", "train_kept", 601, r"pair.train_kept must be 1 to pair.train_candidates \(600\), got 601"),
        ("pair", "test_kept", 0, r"pair.test_kept must be 1 to pair.test_candidates \(120\), got 0"),
        ("pair", "factor", 0, "pair.factor must be 1 or more"),
        ("pair", "side", 15, "pair.side must be 16 or more"),
        ("synthesize", "previews", -1, "synthesize.previews must be 0 or more"),
        ("split", "v", 0.0, "split.w, split.a and split.v must be above 0"),
        ("split", "v", 0.03, r"split.w \+ split.a \+ split.v must be 1"),
        ("audit", "planted", 0, "audit.planted must be 1 or more"),
        ("search", "steps", 0, "search.steps must be 1 or more"),
        ("search", "warmup_steps", 10**9, "search.warmup_steps must lie in 0 to steps - 1, got 1000000000"),
        ("search", "warmup_steps", -1, "search.warmup_steps must lie in 0 to steps - 1"),
        ("search", "sigmas", (30.0, -1.0), "search.sigmas must be 0 or more"),
        ("search", "sigmas", (), "search.sigmas must be 0 or more"),
        (
            "search",
            "sigmas",
            (30.0, 256.0),
            r"search.sigmas must be 0 or more and at most 255, .*, got \(30.0, 256.0\)",
        ),
        ("search", "momentum", 5.0, "search.momentum must be 0 or more and below 1, got 5.0"),
        ("search", "sigmas", (30.0,) * 257, "search.sigmas must be .*, one at least and 256 at most"),
        ("search", "momentum", -0.1, "search.momentum must be 0 or more and below 1, got -0.1"),
        ("search", "weight_decay", -1.0, "search.weight_decay must be 0 or more and at most 100, got -1.0"),
        ("search", "accumulate", 0, "search.accumulate must be 1 or more"),
        ("search", "accumulate", 7, r"search.batch must be a multiple of accumulate times devices \(7 \* 1\), got \d+"),
        ("search", "lr_max", 0.0001, r"search.lr_max must be above 0, not below lr_min \(0.001\)"),
        ("search", "precision", "16", r"search.precision must be one of \('auto', '32-true', 'bf16-mixed'\), got '16'"),
        ("search", "clip_norm", 0.0, "search.clip_norm must be above 0"),
        ("search", "noise", "poisson", r"search.noise must be one of ..float., .truncated8.., got .poisson."),
        ("search", "clip_usual", 0.5, "search.clip_usual must be 0 or at least 1, got 0.5"),
        ("search", "ssim_weight", -0.5, "search.ssim_weight must be 0 or more"),
        ("search", "val_crop", -1, "search.val_crop must be 0 or more"),
        ("search", "device", "tpu", "search.device must be auto, cpu or cuda, got 'tpu'"),
        ("tone", "kinds", 1, "tone.kinds must be 0 or 2 to 1000, got 1"),
        ("tone", "kinds", 1001, "tone.kinds must be 0 or 2 to 1000, got 1001"),
        ("tone", "components", 0, "tone.components must be at least 1, got 0"),
        ("tone", "folds", 1, "tone.folds must be 2 to 1000, got 1"),
        ("safety", "on_nan", "ignore", r"safety.on_nan must be one of \['stop', 'rewind'\], got 'ignore'"),
        ("safety", "rewinds", -1, "safety.rewinds must be 0 or more and at most 100, got -1"),
        ("safety", "checkpoint_seconds", -0.5, "safety.checkpoint_seconds must be 0 or more and at most 31536000"),
        ("safety", "deterministic", "yes", "safety.deterministic must be true, false or auto, got 'yes'"),
        ("derive", "modify", "r3", r"derive.modify must be one of \['none', 'r1', 'r2'\], got 'r3'"),
        ("derive", "modify_seed", -1, "derive.modify_seed must be 0 or more"),
        ("retrain", "val_period", 0, "retrain.val_period must be 1 or more"),
        ("retrain", "devices", 7, r"retrain.batch must be a multiple of devices, got \d+"),
        ("retrain", "optimiser", "sgd", r"retrain.optimiser must be one of \['adam', 'adamw'\], got 'sgd'"),
        ("retrain", "weight_decay", -0.1, "retrain.weight_decay must be 0 or more and at most 100, got -0.1"),
        ("retrain", "warmup_steps", 10**9, "retrain.warmup_steps must lie in 0 to steps - 1, got 1000000000"),
        ("retrain", "warmup_steps", -1, "retrain.warmup_steps must lie in 0 to steps - 1, got -1"),
        ("retrain", "average", 1.0, "retrain.average must be 0 or more and below 1, got 1.0"),
        ("retrain", "average", -0.5, "retrain.average must be 0 or more and below 1, got -0.5"),
        (
            "retrain",
            "precision",
            "16",
            r"retrain.precision must be one of \('auto', '32-true', 'bf16-mixed'\), got '16'",
        ),
        ("evaluate", "protocols", (), "evaluate.protocols must name at least one protocol"),
        ("evaluate", "batch", 0, "evaluate.batch must be 1 or more"),
        ("evaluate", "tv_factors", (), "evaluate.tv_factors must be above 0"),
        ("evaluate", "nlm_factors", (0.4, 0.0), "evaluate.nlm_factors must be above 0"),
        ("evaluate", "device", "tpu", "evaluate.device must be auto, cpu or cuda"),
        ("space", "layers", 0, "space.layers must be 1 or more"),
        ("space", "layers", 200_000, "space.layers must be at most 300, got 200000"),
        ("space", "nodes", 200_000, "space.layers times space.nodes and space.inputs must be at most 3000 edges, got"),
        ("space", "width", 10**9, "space.width must be at most 16384, got 1000000000"),
        ("space", "downscale", 65, "space.downscale must be at most 64, got 65"),
        ("space", "width_factors", (1.0, 1e6), "space.width_factors must be positive .*, none above 1000, got"),
        ("space", "inputs", 3, r"space.inputs must be 1 or 2 \(a first node has two inputs\), got 3"),
        ("space", "width_factors", (2.0, 1.0), "space.width_factors must be positive and ascending"),
        (
            "space",
            "width_factors",
            (1.0, 1.1),
            r"space.width times each .*\[1.0, 1.1\] must be whole channels, got \d+",
        ),
        ("space", "partial", 3, "must be a multiple of space.partial, got 3"),
        ("space", "beta_norm", "sideways", r"space.beta_norm must be one of \['incoming', 'outgoing'\]"),
        ("space", "activation", "gelu", r"space.activation must be one of \['relu', 'leaky_relu'\]"),
        ("space", "downscale", 0, "space.downscale must be 1 or more, got 0"),
        ("space", "norm", "group", r"space.norm must be one of \['batch', 'none'\], got 'group'"),
        ("space", "compile", True, "space.compile must be false with space.twin fast"),
        ("network", "width", 0, "network.width must be 1 or more"),
        ("network", "aspp_channels", -1, "network.aspp_channels must be 0 or more"),
        ("network", "aspp_rates", (2, 0), "network.aspp_rates must be 1 or more"),
        ("darts", "order", 3, "strategy.order must be 1 or 2"),
        ("darts", "complexity", -1.0, "strategy.complexity must be 0 or more"),
        ("darts", "complexity_of", "seconds", r"strategy.complexity_of must be one of \['parameters', 'flops'\]"),
        ("darts", "early_stop", "soon", r"strategy.early_stop must be one of \['none', 'skip_count', .*\], got 'soon'"),
        ("darts", "patience", 0, "strategy.patience must be 1 or more"),
        ("random", "candidates", 0, "strategy.candidates must be 1 or more"),
        ("random", "budget", 0.0, "strategy.budget must be above 0"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(section, key, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SECTIONS[section], **{key: value})


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("download", "attempts", 13, "download.attempts must be 1 or more and at most 12, got 13"),
        ("download", "timeout", 1e9, "download.timeout must be above 0 seconds and at most 3600, got 1000000000.0"),
        (
            "pair",
            "train_candidates",
            10**9,
            "pair.train_candidates must be 1 or more and at most 10000000, got 1000000000",
        ),
        ("pair", "factor", 65, "pair.factor must be 1 or more and at most 64, got 65"),
        ("pair", "side", 10**6, "pair.side must be 16 or more and at most 8192, got 1000000"),
        ("synthesize", "previews", 10**6, "synthesize.previews must be 0 or more and at most 10000, got 1000000"),
        ("audit", "planted", 10**6, "audit.planted must be 1 or more and at most 10000, got 1000000"),
        ("search", "steps", 10**9, "search.steps must be 1 or more and at most 100000000, got 1000000000"),
        ("search", "batch", 10**9, "search.batch must be 1 or more and at most 65536, got 1000000000"),
        ("search", "patch", 10**9, "search.patch must be 1 or more and at most 8192, got 1000000000"),
        ("search", "log_period", 10**18, "search.log_period must be 1 or more and at most 100000000, got 10{18}"),
        ("search", "devices", 4096, "search.devices must be 1 or more and at most 1024, got 4096"),
        ("search", "lr_max", 1e30, r"search.lr_max must be above 0, .* and at most 100, got 1e\+30"),
        ("search", "weight_decay", 1e30, r"search.weight_decay must be 0 or more and at most 100, got 1e\+30"),
        ("retrain", "steps", 10**9, "retrain.steps must be 1 or more and at most 100000000, got 1000000000"),
        ("retrain", "batch", 65_537, "retrain.batch must be 1 or more and at most 65536, got 65537"),
        ("retrain", "patch", 8193, "retrain.patch must be 1 or more and at most 8192, got 8193"),
        ("evaluate", "batch", 10**9, "evaluate.batch must be 1 or more and at most 65536, got 1000000000"),
        ("evaluate", "tv_factors", (1.0,) * 101, "evaluate.tv_factors must be .*, one at least and 100 at most"),
        ("evaluate", "nlm_factors", (1e9,), "evaluate.nlm_factors must be above 0 and at most 1000, .*1000000000.0"),
        ("darts", "patience", 10**9, "strategy.patience must be 1 or more and at most 100000000, got 1000000000"),
        ("darts", "lr_max", 1e9, "strategy.lr_max must be above 0 and at most 100, got 1000000000.0"),
        ("random", "candidates", 10**9, "strategy.candidates must be 1 or more and at most 1000000, got 1000000000"),
        ("random", "budget", 1e9, "strategy.budget must be above 0 and at most 1000, got 1000000000.0"),
        ("one_shot", "final_rounds", 50, "strategy.final_rounds must be 1 or more and at most 12, got 50"),
        ("one_shot", "population", 10**9, "strategy.population must be 1 or more and at most 1000000, got 1000000000"),
        ("rl", "cache", 10**9, "strategy.cache must be 0 or more and at most 1000000, got 1000000000"),
        ("rl", "hidden", 10**9, "strategy.hidden must be 1 or more and at most 16384, got 1000000000"),
        ("rl", "layers", 10**9, "strategy.layers must be 1 or more and at most 100, got 1000000000"),
        ("rl", "steps", 10**9, "strategy.steps must be 1 or more and at most 100000000, got 1000000000"),
    ],
)
def test_a_number_that_no_machine_has_time_or_memory_for_is_refused(section, key, value, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SECTIONS[section], **{key: value})


@pytest.mark.parametrize("section", ["search", "retrain"])
def test_a_batch_has_a_limit_of_its_pixels(section):
    # 1024 * 512^2 = 2^28, a gibibyte of float32 for each channel
    dataclasses.replace(SECTIONS[section], batch=1024, patch=512)

    message = rf"{section}.batch times {section}.patch\^2 must be at most 268435456 pixels, got 268697600"
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SECTIONS[section], batch=1025, patch=512)


def test_adam_decays_no_weights_and_a_warm_up_ends_before_the_training():
    section = dataclasses.replace(SECTIONS["retrain"], optimiser="adamw", weight_decay=0.01, steps=9, warmup_steps=8)
    with pytest.raises(ValueError, match=r"retrain.weight_decay must be 0 with retrain.optimiser adam.*, got 0.01"):
        dataclasses.replace(section, optimiser="adam")
    with pytest.raises(ValueError, match=r"retrain.warmup_steps must lie in 0 to steps - 1, got 9"):
        dataclasses.replace(section, warmup_steps=9)


def test_the_plain_twin_computes_nothing_again():
    with pytest.raises(ValueError, match=r"space\.recompute must be none with space\.twin plain, got 'edge'"):
        dataclasses.replace(SECTIONS["space"], twin="plain", recompute="edge")


@pytest.mark.parametrize("keep_from", [39, 161])
def test_the_differentiable_search_keeps_no_supernet_before_its_architecture_moves(keep_from):
    section = dataclasses.replace(SECTIONS["darts"], keep_from=keep_from)
    search = dataclasses.replace(BY["darts"].search, warmup_steps=40, steps=160)

    with pytest.raises(ValueError, match=rf"strategy.keep_from must lie between .* \(40 to 160\), got {keep_from}"):
        BY["darts"].strategy.check(section, search)

# SPDX-License-Identifier: Apache-2.0
"""What the filter does not decide between, and what it says of the rest."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from synthetic_runs import write_run

from kd_yolo_ros.errors import UserError
from kd_yolo_training.engine.run_folder import BEST, RESULTS, write_table
from kd_yolo_training.filter.fairness import check_fair, unlike
from kd_yolo_training.filter.models import Model, describe_model

TAUGHT = {'teachers': ['a hash'], 'distil_output': 1.0}


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return describe_model(write_run(tmp_path_factory.mktemp('runs') / 'run', 0))


def model(trained: Model, name: str, /, *, seed: int = 0, **recorded: Any) -> Model:
    """Return it with another name and with what else it recorded."""
    return dataclasses.replace(trained, name=name, run={**trained.run, 'seed': seed, **recorded})


def test_seed_and_distillation_may_differ(trained: Model) -> None:
    arms = {
        'plain': [model(trained, 'p0'), model(trained, 'p1', seed=1, deterministic=True)],
        'cwd': [model(trained, 'c', teachers=['x'], distil_cwd=1.0, cwd_tau=2.0)],
        'output': [model(trained, f'o{seed}', seed=seed, **TAUGHT) for seed in (2, 3)],
    }
    assert check_fair(arms) == []
    assert unlike(arms) == {
        'plain': [],
        'cwd': ['distil-cwd 1.0 instead of none', 'cwd-tau 2.0 instead of 1.0', 'a teacher'],
        'output': ['distil-output 1.0 instead of none', 'a teacher'],
    }


def test_a_teacher_that_goes_on_training_is_no_student(trained: Model) -> None:
    longer = model(trained, 'd', **TAUGHT, start='a hash', narrowed_from=None)
    with pytest.raises(UserError, match='other starting weights'):
        check_fair({'plain': [model(trained, 'p')], 'longer': [longer]})


def test_channels_of_a_teacher_are_distillation_too(trained: Model) -> None:
    from_teacher = model(trained, 'd', **TAUGHT, start='a hash', narrowed_from='s')
    for start in (None, 'another'):  # whatever the plain one begins with
        arms = {'plain': [model(trained, 'p', start=start)], 'channels': [from_teacher]}
        assert check_fair(arms) == []
        assert unlike(arms)['channels'][-1] == 'starts from its teacher'
    arms['channels'].append(model(trained, 'e', **TAUGHT))
    with pytest.raises(UserError, match='e was trained .* d: not starts from its teacher;'):
        check_fair(arms)


@pytest.mark.parametrize(
    ('recorded', 'told'),
    [
        ({'epochs': 40}, 'has not finished its 40 epochs'),
        ({'epochs': 2}, 'epochs 2 instead of 3; train them alike'),
        ({'lr': 0.1, 'batch': 2}, 'batch 2 instead of 16, lr 0.1 instead of 0.01;'),
        ({'mosaic': 0.5}, 'mosaic 0.5 instead of 1.0'),
        ({'freeze': 10}, 'freeze 10 instead of 0'),
        ({'precision': 'bf16'}, 'precision bf16 instead of fp32'),
        ({'fit': 'another'}, 'other fit data'),
        ({'select': 'a hash'}, 'other select data'),
        ({'start': 'another'}, 'other starting weights'),
        ({'teachers': []}, 'neither a teacher nor soft labels; give'),
    ],
)
def test_what_else_differs_is_refused(trained: Model, recorded: dict, told: str) -> None:
    distilled = model(trained, 'd', **{**TAUGHT, **recorded})
    with pytest.raises(UserError, match=f'cwd d .*{told}'):
        check_fair({'plain': [model(trained, 'p')], 'cwd': [distilled]})


def test_a_comparison_tells_who_has_epochs_to_go(trained: Model) -> None:
    stopped = model(trained, 'd', epochs=40, **TAUGHT)
    arms = {'plain': [model(trained, 'p')], 'output': [stopped]}
    assert unlike(arms)['output'][-1] == 'd has not finished its 40 epochs'


def test_plain_is_plain(trained: Model) -> None:
    taught = model(trained, 'd', **TAUGHT)
    with pytest.raises(UserError, match='plain d was trained with a teacher; give runs without'):
        check_fair({'plain': [model(trained, 'p'), taught], 'cwd': [taught]})


def test_runs_of_an_arm_differ_in_the_seed_alone(trained: Model) -> None:
    strong = model(trained, 'strong', **{**TAUGHT, 'distil_output': 4.0})
    arms = {'plain': [model(trained, 'p')], 'cwd': [model(trained, 'd', **TAUGHT), strong]}
    told = 'cwd strong was trained otherwise than cwd d: distil-output 4.0 instead of 1.0'
    with pytest.raises(UserError, match=told):
        check_fair(arms)


def test_anchors_that_both_have_are_the_same_wherever_from(trained: Model) -> None:
    plain, moved = model(trained, 'p'), [[[1.0, 1.0]] * 3] * 3
    given = model(trained, 'd', **TAUGHT, anchors=trained.anchors)
    assert check_fair({'plain': [plain], 'cwd': [given]}) == []
    other = dataclasses.replace(given, anchors=moved)
    with pytest.raises(UserError, match='cwd d was trained otherwise than plain p: other anchors'):
        check_fair({'plain': [plain], 'cwd': [other]})
    # Each run computed its own: a seed's doing.
    own = dataclasses.replace(model(trained, 'd', **TAUGHT), anchors=moved)
    assert check_fair({'plain': [plain], 'cwd': [own]}) == []


def test_soft_labels_are_other_labels_and_a_remark(trained: Model) -> None:
    arms = {'plain': [model(trained, 'p')], 'soft': [model(trained, 's', fit='soft')]}
    (remark,) = check_fair(arms)
    assert remark.startswith('soft had no teacher, but other fit data than plain;')
    arms['soft'] = [model(trained, 's', fit='soft', lr=0.1)]
    with pytest.raises(UserError, match='than plain p: lr 0.1 instead of 0.01'):
        check_fair(arms)


def test_soft_labels_that_are_recorded(trained: Model) -> None:
    def arms(plain: int, candidate: int, **recorded: Any) -> dict[str, list[Model]]:
        one = model(trained, 's', fit='soft', **recorded)
        return {
            'plain': [dataclasses.replace(model(trained, 'p'), soft_labels=plain)],
            'soft': [dataclasses.replace(one, soft_labels=candidate)],
        }

    assert check_fair(arms(0, 7)) == []
    assert check_fair(arms(0, 7, **TAUGHT)) == []  # and a teacher beside them
    with pytest.raises(UserError, match='soft s was trained with neither a teacher nor soft'):
        check_fair(arms(0, 0))
    with pytest.raises(UserError, match='than plain p: other fit data; train them alike'):
        check_fair(arms(0, 0, **TAUGHT))
    with pytest.raises(UserError, match='plain p was trained with soft labels'):
        check_fair(arms(7, 7))


def test_what_is_not_recorded_is_a_remark(trained: Model) -> None:
    foreign = dataclasses.replace(trained, name='yolov5n', run=None)
    arms = {'plain': [foreign], 'cwd': [model(trained, 'd', **TAUGHT)]}
    assert check_fair(arms) == ['Not recorded is how these were trained: plain yolov5n.']
    assert unlike(arms) == {'plain': None, 'cwd': None}
    arms = {'plain': [model(trained, 'p')], 'cwd': [foreign]}
    assert check_fair(arms) == ['Not recorded is how these were trained: cwd yolov5n.']
    assert unlike(arms) == {'plain': [], 'cwd': None}


def test_a_setting_that_came_later_has_its_default(trained: Model) -> None:
    taught = model(trained, 'd', **TAUGHT, task='detect', optimizer='sgd')
    assert check_fair({'plain': [model(trained, 'p')], 'cwd': [taught]}) == []


@pytest.mark.parametrize(
    ('aps', 'patience', 'refused'),
    [
        ([0.1, 0.3, 0.2, 0.2], 2, False),  # stopped early
        ([0.1, 0.3, None, 0.2], 2, False),
        ([0.1, 0.2, 0.3, 0.2], 2, True),
        ([None] * 4, 2, True),
        ([0.3] * 10, 100, False),  # all epochs; the best was not the last
    ],
)
def test_a_run_is_finished_or_stopped_early(
    tmp_path: Path, aps: list, patience: int, refused: bool
) -> None:
    recorded = {**TAUGHT, 'epochs': 10, 'patience': patience}
    run = write_run(tmp_path / 'run', 1, recorded=recorded)
    plain = {**recorded, 'teachers': [], 'distil_output': None}
    other = describe_model(write_run(tmp_path / 'plain', 0, recorded=plain, epoch=9))
    write_table(run / RESULTS, [{'epoch': n, 'map50_95': ap} for n, ap in enumerate(aps)])
    arms = {'plain': [other], 'cwd': [describe_model(run)]}
    if refused:
        with pytest.raises(UserError, match='cwd run has not finished its 10 epochs; let it go'):
            check_fair(arms)
        return
    assert check_fair(arms) == []
    # A best epoch's weights alone do not tell.
    alone = (run / BEST).rename(tmp_path / 'alone.safetensors')
    arms['cwd'] = [describe_model(alone)]
    assert check_fair(arms) == ['Not recorded is whether these were finished: cwd alone.']

from pneumojax.evaluation.evaluate import _batch_size


def test_batches_hold_every_film_evenly_and_pad_by_less_than_a_unit_each():
    for most in (16, 64):
        for devices in (1, 2, 8):
            for films in (1, 5, 63, 64, 65, 512, 521, 5216):
                size = _batch_size(most, films, devices)
                batches = -(-films // most)
                assert size % (4 * devices) == 0
                assert films <= size * batches < films + batches * (4 * devices + 1)

"""What torch-fidelity's own networks receive, against what is prepared for those built here."""

import numpy as np
import pytest
import torch

from evaluation.features import vgg16
from evaluation.features.fidelity import embed_bytes, prepare_bytes, to_bytes


def test_gray_levels_round_to_the_nearest_of_256():
    levels = torch.tensor([0.0, 0.4, 0.6, 100.2, 255.0]).view(1, 1, 1, 5) / 255
    assert to_bytes(levels)[0, :, 0].tolist() == [[0, 0, 1, 100, 255]] * 3


def test_nothing_is_resized_at_the_right_side():
    image = torch.arange(3 * 4 * 4).view(1, 3, 4, 4).to(torch.uint8)
    prepared = prepare_bytes(image, 4, (0.5, 0.5, 0.0), (0.5, 0.25, 1.0))
    scale = torch.tensor([0.5, 0.25, 1.0]).view(3, 1, 1)
    expected = (image / 255 - torch.tensor([0.5, 0.5, 0.0]).view(3, 1, 1)) / scale
    torch.testing.assert_close(prepared, expected)


@pytest.mark.slow
def test_vgg16_receives_what_is_prepared_and_returns_torchvisions_layer(build, make_images):
    import torchvision

    images, extractor = make_images(1, 2), build("vgg16")
    prepared = prepare_bytes(to_bytes(images.images), 224, vgg16.MEAN, vgg16.DEVIATION)
    seen = []
    hook = extractor.network.model.features[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    rows = embed_bytes(extractor.network, images.images).double().numpy()
    hook.remove()
    torch.testing.assert_close(seen[0], prepared)
    network = torchvision.models.vgg16(weights=None, init_weights=False).eval()
    network.load_state_dict(torch.load(extractor.weights, weights_only=True))
    with torch.inference_mode():
        pooled = network.avgpool(network.features(prepared)).flatten(1)
        expected = network.classifier[:5](pooled).double().numpy()
    np.testing.assert_allclose(rows, expected, atol=1e-5 * np.abs(expected).max())  # float32 products

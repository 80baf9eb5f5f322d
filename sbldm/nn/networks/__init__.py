"""Networks; importing a rival here registers it."""

from sbldm.nn.networks.base import NETWORKS, AnyNetwork, NetworkSpec
from sbldm.nn.networks.plain import Plain
from sbldm.nn.networks.unet import UNet

__all__ = ["NETWORKS", "AnyNetwork", "NetworkSpec", "Plain", "UNet"]

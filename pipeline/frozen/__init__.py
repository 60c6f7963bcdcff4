"""Networks that are never trained: those of metrics, of perceptual losses, and encoders of images.

Encoders of images, such as DINOv2, teach codecs, and are the first part of some. Each family is a
file in pipeline.frozen.encoders. A recipe names one by a dict:

    teacher = dict(name="dinov2", weights="dinov2_vitb14_reg4_pretrain.pth", size=224)

`weights` is a file or folder of trained weights, which is always needed: no encoder is ever made
up. The other keys are the arguments of pipeline.frozen.encoder.create:

    encoder, weights = encoder.create(**teacher, where="objective.vf.teacher")   # ConfigError
    features = encoder(weights, images)              # images [b h w 3], uint8 or in [-1, 1]
    features.patches                                 # [b h2 w2 c], after the last norm
    features.pooled                                  # [b d], one vector an image, or None
    encoder(weights, images, layers=(6,)).layers[6]  # [b h2 w2 c] after the sixth block, no norm

`encoder` is hashable, so that compiled functions may close over it, and `weights` are arrays by
name, to be passed in as arguments: a loss term returns them as `Term.frozen`, by which their
fingerprint enters the run's provenance and the card of its codec. Clips [b t h w 3] are taken frame
by frame, and give features [b t h2 w2 c]. Gradients reach the images and never the weights.
`encoder.width` is c, `encoder.grid(h, w)` is (h2, w2), and `encoder.describe()` is what a card says
of it.
"""

"""Loss terms that ask latents to vary independently, from a minibatch of Gaussian posteriors."""

"""Simulated patients and scanners: anatomy, the physics of MRI and X-rays, lesions, artefacts."""

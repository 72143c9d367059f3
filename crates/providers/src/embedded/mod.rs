//! Speech on this machine: models by ONNX Runtime, and programs (espeak-ng, flite) as processes.

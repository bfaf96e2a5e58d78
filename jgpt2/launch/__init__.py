"""How a command gets onto many processes: here, on TPU VMs, on Kubernetes; it knows no verb."""

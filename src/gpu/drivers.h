/* drivers.h - drivers of the GPU as libraries of this process. */
#ifndef QN_GPU_DRIVERS_H
#define QN_GPU_DRIVERS_H

/* Keeps the Vulkan drivers that are loaded now for as long as the process runs. */
void qn_drivers_keep(void);

#endif

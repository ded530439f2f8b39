/* SPDX-License-Identifier: MIT */
/*
 * mps_control.h - in a process of its own: NVIDIA's program that controls MPS is asked to end a
 * process's work.
 *
 * Source: NVIDIA, "Multi-Process Service", nvidia-cuda-mps-control: it takes commands by stdin,
 * a line each: get_server_list, get_client_list PID, terminate_client SERVER-PID CLIENT-PID.
 */
#ifndef DISPATCHER_MPS_CONTROL_H
#define DISPATCHER_MPS_CONTROL_H

#include "dispatcher/devices/mps_end.h"

enum mps_result mps_control_end(const struct mps_request *request);

#endif

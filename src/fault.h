/*
 * fault.h - places at which a test may make a process fail. Only the library of
 * the tests has them (make faults); in the one that is shipped they are nothing,
 * and there is no setting smsflow.fault.
 */
#ifndef SMSFLOW_FAULT_H
#define SMSFLOW_FAULT_H

#ifdef SMSFLOW_FAULTS
extern void smsflow_define_faults(void);

/* Fails here, if smsflow.fault says so. */
extern void smsflow_fault(const char *point);
#else
#define smsflow_define_faults() ((void) 0)
#define smsflow_fault(point) ((void) 0)
#endif

#endif

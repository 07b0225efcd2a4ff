/*
 * settings.h
 *	  The module's settings, dicom_fdw.*.
 */
#ifndef PG_SETTINGS_H
#define PG_SETTINGS_H

extern char *setting_allowed_endpoints; /* dicom_fdw.allowed_endpoints */
extern char *setting_ambient_roles;     /* dicom_fdw.ambient_roles */

extern void settings_define(void);

#endif

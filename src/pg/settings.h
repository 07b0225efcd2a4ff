/*
 * settings.h
 *	  The module's settings, dicom_fdw.*.
 */
#ifndef PG_SETTINGS_H
#define PG_SETTINGS_H

extern char *setting_allowed_endpoints; /* dicom_fdw.allowed_endpoints */
extern char *setting_ambient_roles;     /* dicom_fdw.ambient_roles */
extern char *setting_key_command;       /* dicom_fdw.key_command */
extern char *setting_key_file;          /* dicom_fdw.key_file */

extern void settings_define(void);

#endif

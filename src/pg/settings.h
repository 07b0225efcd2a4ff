/*
 * settings.h
 *	  The module's settings, dicom_fdw.*.
 */
#ifndef PG_SETTINGS_H
#define PG_SETTINGS_H

extern char *setting_allowed_endpoints;          /* dicom_fdw.allowed_endpoints */
extern char *setting_allowed_notification_hosts; /* dicom_fdw.allowed_notification_hosts */
extern char *setting_ambient_roles;              /* dicom_fdw.ambient_roles */
extern char *setting_databases;                  /* dicom_fdw.databases */
extern char *setting_dicompress_path;            /* dicom_fdw.dicompress_path */
extern char *setting_key_command;                /* dicom_fdw.key_command */
extern char *setting_key_file;                   /* dicom_fdw.key_file */
extern int setting_max_runs;                     /* dicom_fdw.max_runs */
extern int setting_worker_naptime;               /* dicom_fdw.worker_naptime, seconds */

extern void settings_define(void);

#endif

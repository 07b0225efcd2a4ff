/*
 * dcmtk_scan.cc
 *	  usage: dcmtk_scan DIRECTORY TAG...
 *
 *	  Prints of every file below a directory, in order of names, its name and the values of the given attributes (gggg,eeee),
 *	  as COPY ... TO STDOUT would, and at the end, to stderr, the seconds it took. Reads no pixel data.
 */
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

static void
print_value(DcmItem &item, const DcmTagKey &tag)
{
	OFString value;

	putchar('\t');
	if (!item.tagExists(tag))
	{
		fputs("\\N", stdout);
		return;
	}
	item.findAndGetOFStringArray(tag, value);
	for (const char c : value)
	{
		if (c == '\\')
			putchar('\\');
		putchar(c);
	}
}

int
main(int argc, char **argv)
{
	std::vector<DcmTagKey> tags;
	std::vector<std::string> names;
	const std::string root = argv[1];

	for (int i = 2; i < argc; i++)
	{
		unsigned group;
		unsigned element;

		if (sscanf(argv[i], "%4x,%4x", &group, &element) != 2)
			return 2;
		tags.emplace_back(Uint16(group), Uint16(element));
	}
	OFLog::configure(OFLogger::OFF_LOG_LEVEL); /* else a warning a file: pixel data skipped */
	dcmDataDict.isDictionaryLoaded();          /* loads it, outside of the measured time */

	const auto start = std::chrono::steady_clock::now();
	for (const auto &entry : std::filesystem::recursive_directory_iterator(root))
		if (entry.is_regular_file())
			names.push_back(entry.path().string());
	std::sort(names.begin(), names.end());
	for (const std::string &name : names)
	{
		DcmFileFormat file;

		if (file.loadFileUntilTag(name.c_str(), EXS_Unknown, EGL_noChange, DCM_MaxReadLength, ERM_autoDetect,
								  DCM_PixelData)
				.bad())
			return 1;
		fputs(name.c_str() + root.size() + 1, stdout);
		for (const DcmTagKey &tag : tags)
			print_value(*file.getDataset(), tag);
		putchar('\n');
	}
	fflush(stdout);
	fprintf(stderr, "%f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
	return 0;
}

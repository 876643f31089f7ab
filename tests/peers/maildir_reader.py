"""Prints, as JSON, what Python's mailbox module finds in a Maildir or mbox.

maildir_reader.py maildir|mbox PATH
"""

import json
import mailbox
import sys

kind, path = sys.argv[1:3]
box = mailbox.Maildir(path, create=False) if kind == "maildir" else mailbox.mbox(path, create=False)
found = []
for key, message in box.iteritems():
    found.append(
        {
            "subject": message["Subject"],
            "from": message["From"],
            "return_path": message["Return-Path"],
            "body": message.get_payload(decode=True).decode("latin-1")
            if not message.is_multipart()
            else None,
            "parts": [
                part.get_payload(decode=True).decode("latin-1")
                for part in message.walk()
                if not part.is_multipart()
            ],
            "defects": [type(defect).__name__ for defect in message.defects],
        }
    )
print(json.dumps(found))

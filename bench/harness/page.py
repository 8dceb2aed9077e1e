def html(data):
    return ""

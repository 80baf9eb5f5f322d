"""Questions asked of the model and the metrics together: experiments, studies, tracking and tables."""
